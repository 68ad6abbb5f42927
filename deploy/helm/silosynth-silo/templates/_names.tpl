{{- define "silo.fullname" -}}
{{- printf "%s-silo" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "silo.labels" -}}
app.kubernetes.io/name: silosynth-silo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "silo.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "silo.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}
