{{- define "coordinator.fullname" -}}
{{- printf "%s-coordinator" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "coordinator.labels" -}}
app.kubernetes.io/name: silosynth-coordinator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coordinator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "coordinator.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}
