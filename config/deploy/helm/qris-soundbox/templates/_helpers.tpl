{{- define "qris-soundbox.selector" -}}
app.kubernetes.io/name: qris-soundbox
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "qris-soundbox.labels" -}}
{{ include "qris-soundbox.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
