"""Names of months and days of the week in many languages, and which of them texts use.

The words are those of the Unicode Common Locale Data Repository (CLDR), in small letters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

_MONTHS = (
    "january february march april may june july august september october november december",
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "jan. feb. märz apr. mai juni juli aug. sept. okt. nov. dez.",
    "jan feb mär apr mai jun jul aug sep okt nov dez",
    "jänner februar märz april mai juni juli august september oktober november dezember",
    "jän. feb. märz apr. mai juni juli aug. sep. okt. nov. dez.",
    "jän feb mär apr mai jun jul aug sep okt nov dez",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "ene feb mar abr may jun jul ago sept oct nov dic",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "gen feb mar apr mag giu lug ago set ott nov dic",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
    "listopada grudnia",
    "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad "
    "grudzień",
    "sty lut mar kwi maj cze lip sie wrz paź lis gru",
    "januari februari mars april maj juni juli augusti september oktober november december",
    "jan. feb. mars apr. maj juni juli aug. sep. okt. nov. dec.",
    "januar februar marts april maj juni juli august september oktober november december",
    "jan. feb. mar. apr. maj jun. jul. aug. sep. okt. nov. dec.",
    "januar februar mars april mai juni juli august september oktober november desember",
    "jan. feb. mars apr. mai juni juli aug. sep. okt. nov. des.",
    "jan feb mar apr mai jun jul aug sep okt nov des",
    "tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta "
    "syyskuuta lokakuuta marraskuuta joulukuuta",
    "tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu heinäkuu elokuu syyskuu lokakuu "
    "marraskuu joulukuu",
    "tammi helmi maalis huhti touko kesä heinä elo syys loka marras joulu",
    "ledna února března dubna května června července srpna září října listopadu prosince",
    "leden únor březen duben květen červen červenec srpen září říjen listopad prosinec",
    "led úno bře dub kvě čvn čvc srp zář říj lis pro",
    "januára februára marca apríla mája júna júla augusta septembra októbra novembra decembra",
    "január február marec apríl máj jún júl august september október november december",
    "jan feb mar apr máj jún júl aug sep okt nov dec",
    "január február március április május június július augusztus szeptember október "
    "november december",
    "jan. febr. márc. ápr. máj. jún. júl. aug. szept. okt. nov. dec.",
    "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie "
    "decembrie",
    "ian. feb. mar. apr. mai iun. iul. aug. sept. oct. nov. dec.",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
    "янв. февр. мар. апр. мая июн. июл. авг. сент. окт. нояб. дек.",
    "янв. февр. март апр. май июнь июль авг. сент. окт. нояб. дек.",
    "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
    "січень лютий березень квітень травень червень липень серпень вересень жовтень листопад "
    "грудень",
    "січ. лют. бер. квіт. трав. черв. лип. серп. вер. жовт. лист. груд.",
    "януари февруари март април май юни юли август септември октомври ноември декември",
    "яну фев март апр май юни юли авг сеп окт ное дек",
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
    "oca şub mar nis may haz tem ağu eyl eki kas ara",
    "ιανουαρίου φεβρουαρίου μαρτίου απριλίου μαΐου ιουνίου ιουλίου αυγούστου σεπτεμβρίου "
    "οκτωβρίου νοεμβρίου δεκεμβρίου",
    "ιανουάριος φεβρουάριος μάρτιος απρίλιος μάιος ιούνιος ιούλιος αύγουστος σεπτέμβριος "
    "οκτώβριος νοέμβριος δεκέμβριος",
    "ιαν φεβ μαρ απρ μαΐ ιουν ιουλ αυγ σεπ οκτ νοε δεκ",
    "ιαν φεβ μάρ απρ μάι ιούν ιούλ αύγ σεπ οκτ νοέ δεκ",
    "siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada "
    "studenoga prosinca",
    "siječanj veljača ožujak travanj svibanj lipanj srpanj kolovoz rujan listopad studeni prosinac",
    "sij velj ožu tra svi lip srp kol ruj lis stu pro",
    "januar februar marec april maj junij julij avgust september oktober november december",
    "jan. feb. mar. apr. maj jun. jul. avg. sep. okt. nov. dec.",
    "gener febrer març abril maig juny juliol agost setembre octubre novembre desembre",
    "gen. febr. març abr. maig juny jul. ag. set. oct. nov. des.",
    "jaanuar veebruar märts aprill mai juuni juuli august september oktoober november detsember",
    "jaan veebr märts apr mai juuni juuli aug sept okt nov dets",
    "janvāris februāris marts aprīlis maijs jūnijs jūlijs augusts septembris oktobris "
    "novembris decembris",
    "janv. febr. marts apr. maijs jūn. jūl. aug. sept. okt. nov. dec.",
    "sausio vasario kovo balandžio gegužės birželio liepos rugpjūčio rugsėjo spalio "
    "lapkričio gruodžio",
    "sausis vasaris kovas balandis gegužė birželis liepa rugpjūtis rugsėjis spalis lapkritis "
    "gruodis",
    "saus. vas. kov. bal. geg. birž. liep. rugp. rugs. spal. lapkr. gruod.",
    "januari februari maret april mei juni juli agustus september oktober november desember",
    "jan feb mar apr mei jun jul agu sep okt nov des",
    "jan feb mrz apr mai jun jul aug sep okt nov dez",
    "ene feb mar abr may jun jul ago sep oct nov dic",
    "jan fev mar abr mai jun jul ago set out nov dez",
    "jan feb mar apr may jun jul aug sept oct nov dec",
    "jan. feb. march april may june july aug. sept. oct. nov. dec.",
    "jan fév mar avr mai jun jul aoû sep oct nov déc",
    "janv févr mars avr mai juin juil août sept oct nov déc",
    "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月",
    "jan. feb. mar. apr. may jun. jul. aug. sep. oct. nov. dec.",
    "jan feb mrz apr mai juni juli aug sept okt nov dez",
)
"""From January on; genitives stand beside nominatives."""

_DAYS = (
    "monday tuesday wednesday thursday friday saturday sunday",
    "mon tue wed thu fri sat sun",
    "montag dienstag mittwoch donnerstag freitag samstag sonntag",
    "mo. di. mi. do. fr. sa. so.",
    "mo di mi do fr sa so",
    "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "lun. mar. mer. jeu. ven. sam. dim.",
    "lunes martes miércoles jueves viernes sábado domingo",
    "lun mar mié jue vie sáb dom",
    "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    "lun mar mer gio ven sab dom",
    "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    "seg. ter. qua. qui. sex. sáb. dom.",
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "ma di wo do vr za zo",
    "poniedziałek wtorek środa czwartek piątek sobota niedziela",
    "pon. wt. śr. czw. pt. sob. niedz.",
    "måndag tisdag onsdag torsdag fredag lördag söndag",
    "mån tis ons tors fre lör sön",
    "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    "man. tirs. ons. tors. fre. lør. søn.",
    "man. tir. ons. tor. fre. lør. søn.",
    "maanantaina tiistaina keskiviikkona torstaina perjantaina lauantaina sunnuntaina",
    "maanantai tiistai keskiviikko torstai perjantai lauantai sunnuntai",
    "ma ti ke to pe la su",
    "pondělí úterý středa čtvrtek pátek sobota neděle",
    "po út st čt pá so ne",
    "pondelok utorok streda štvrtok piatok sobota nedeľa",
    "po ut st št pi so ne",
    "hétfő kedd szerda csütörtök péntek szombat vasárnap",
    "h k sze cs p szo v",
    "luni marți miercuri joi vineri sâmbătă duminică",
    "lun. mar. mie. joi vin. sâm. dum.",
    "понедельник вторник среда четверг пятница суббота воскресенье",
    "пн вт ср чт пт сб вс",
    "понеділок вівторок середа четвер пʼятниця субота неділя",
    "пн вт ср чт пт сб нд",
    "понеделник вторник сряда четвъртък петък събота неделя",
    "pazartesi salı çarşamba perşembe cuma cumartesi pazar",
    "pzt sal çar per cum cmt paz",
    "δευτέρα τρίτη τετάρτη πέμπτη παρασκευή σάββατο κυριακή",
    "δευ τρί τετ πέμ παρ σάβ κυρ",
    "ponedjeljak utorak srijeda četvrtak petak subota nedjelja",
    "pon uto sri čet pet sub ned",
    "ponedeljek torek sreda četrtek petek sobota nedelja",
    "pon. tor. sre. čet. pet. sob. ned.",
    "dilluns dimarts dimecres dijous divendres dissabte diumenge",
    "dl. dt. dc. dj. dv. ds. dg.",
    "esmaspäev teisipäev kolmapäev neljapäev reede laupäev pühapäev",
    "e t k n r l p",
    "pirmdiena otrdiena trešdiena ceturtdiena piektdiena sestdiena svētdiena",
    "pirmd. otrd. trešd. ceturtd. piektd. sestd. svētd.",
    "pirmadienis antradienis trečiadienis ketvirtadienis penktadienis šeštadienis sekmadienis",
    "pr an tr kt pn št sk",
    "senin selasa rabu kamis jumat sabtu minggu",
    "sen sel rab kam jum sab min",
    "segunda terça quarta quinta sexta sábado domingo",
    "lun mar mer jeu ven sam dim",
    "lun mar mie jue vie sab dom",
    "星期一 星期二 星期三 星期四 星期五 星期六 星期日",
    "周一 周二 周三 周四 周五 周六 周日",
    "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
    "月 火 水 木 金 土 日",
    "월요일 화요일 수요일 목요일 금요일 토요일 일요일",
    "월 화 수 목 금 토 일",
    "mon tues wed thurs fri sat sun",
    "mon. tues. wed. thurs. fri. sat. sun.",
    "mon. tue. wed. thu. fri. sat. sun.",
)
"""From Monday on."""

_HALVES = (("am", "pm"), ("a", "p"), ("오전", "오후"), ("上午", "下午"), ("午前", "午後"))
_CASES: tuple[Callable[[str], str], ...] = (
    str.lower,
    lambda word: word[:1].upper() + word[1:],
    str.upper,
)


def months_of(words: Collection[str]) -> tuple[str, ...] | None:
    """Return the twelve names of months, as they are written, that some words are all among.

    >>> (months_of(["März", "Mai", "Dezember"]) or ())[9]
    'Oktober'
    """
    return _listed(words, _MONTHS)


def weekdays_of(words: Collection[str]) -> tuple[str, ...] | None:
    """Return the seven names of days of the week that some words are all among."""
    return _listed(words, _DAYS)


def halves_of(words: Collection[str]) -> tuple[str, ...] | None:
    """Return the two words for halves of a day that some words are, such as a.m. and p.m."""
    bare = {
        word: word.lower().replace(".", "").replace(" ", "").replace("\u00a0", "") for word in words
    }
    for pair in _HALVES:
        if set(bare.values()) == set(pair) and len(bare) == len(pair):
            first, second = sorted(bare, key=lambda word: pair.index(bare[word]))
            return first, second
    return None


def _listed(words: Collection[str], known: Collection[str]) -> tuple[str, ...] | None:
    """Return the first list that holds all words in one case, its points all or none of them."""
    for line in known:
        plain = line.split()
        bare = [word.removesuffix(".") for word in plain]
        for form in (plain, bare, [f"{word}." for word in bare]):
            for case in _CASES:
                cased = tuple(map(case, form))
                if set(words) <= set(cased) and len(set(cased)) == len(cased):
                    return cased
    return None
