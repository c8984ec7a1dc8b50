{{- /* What all pods have in common. */ -}}

{{- define "penguinmails.ofRelease" -}}
app.kubernetes.io/name: penguinmails
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "penguinmails.labels" -}}
app.kubernetes.io/name: penguinmails
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .role }}
penguinmails/role: {{ . }}
{{- end }}
{{- end }}

{{- define "penguinmails.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "penguinmails.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "penguinmails.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "penguinmails.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "penguinmails.labels" . | nindent 8 }}
{{- end }}

{{- /* Environment of a service: .root, .service (name), .own (its values). auth has the keys itself: asked through
its Service, which lists ready pods alone, it would wait for itself to be ready. */ -}}
{{- define "penguinmails.environment" -}}
{{- $prefix := .root.Release.Name }}
{{- $auth := printf "http://%s-auth:8000" $prefix }}
{{- $settings := dict
  "SECRETS_DIR" "/run/secrets/penguinmails"
  "KAFKA_BOOTSTRAP_SERVERS" .root.Values.kafka.bootstrapServers
  "KAFKA_REPLICATION_FACTOR" .root.Values.kafka.replicationFactor
  "JWKS_URL" (printf "%s/.well-known/jwks.json" (ternary "http://127.0.0.1:8000" $auth (eq .service "auth")))
  "AUTH_URL" $auth
  "TOKEN_ISSUER" .root.Values.publicUrl
  "PUBLIC_URL" .root.Values.publicUrl
  "RATE_LIMIT_URL" .root.Values.rateLimitUrl
  "FILES_URL" .root.Values.files.url
  "OTEL_EXPORTER_OTLP_ENDPOINT" .root.Values.tracing.endpoint
  "TRACE_RATIO" .root.Values.tracing.ratio
}}
{{- range $name, $value := mergeOverwrite $settings .root.Values.settings .own.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "penguinmails.scaler" -}}
{{- /* HPA on CPU: .root, .name, .labels, .replicas, .autoscaling */ -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels: {{- .labels | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  minReplicas: {{ .replicas }}
  maxReplicas: {{ max .autoscaling.maxReplicas .replicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .autoscaling.targetCPU }}}
{{- end }}

{{- define "penguinmails.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- .labels | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- .labels | nindent 6 }}
{{- end }}
