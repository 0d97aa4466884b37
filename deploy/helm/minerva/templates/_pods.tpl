{{- /* The pods of the RayService. tests/check_deploy.py's sister in cluster/tests checks each as a Pod of its own. */ -}}
{{- define "minerva.common" -}}
serviceAccountName: {{ include "minerva.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "minerva.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The daemon reads keys only from files that its user alone may read; those of a secret belong to root. */ -}}
{{- define "minerva.keysContainer" -}}
- name: keys
  image: {{ include "minerva.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -c, "umask 077 && mkdir -p /tmp/keys && cp /run/secrets/minerva/keys /run/secrets/minerva/admin-key /tmp/keys/"]
  securityContext: {{- include "minerva.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts: {{- include "minerva.mounts" . | nindent 4 }}
{{- end -}}

{{- define "minerva.environment" -}}
- {name: HOME, value: /tmp}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
- {name: RAY_TMPDIR, value: /tmp}
- {name: RAY_worker_niceness, value: "0"}
{{- end -}}

{{- define "minerva.headPod" -}}
{{ include "minerva.common" . }}
initContainers: {{- include "minerva.keysContainer" . | nindent 2 }}
containers:
  - name: ray-head
    image: {{ include "minerva.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    env: {{- include "minerva.environment" . | nindent 6 }}
    ports:
      - {name: gcs, containerPort: 6379}
      - {name: dashboard, containerPort: 8265}
      - {name: client, containerPort: 10001}
      - {name: serve, containerPort: 8000}
    securityContext: {{- include "minerva.containerSecurity" . | nindent 6 }}
    resources: {{- toYaml .Values.head.resources | nindent 6 }}
    volumeMounts: {{- include "minerva.mounts" . | nindent 6 }}
volumes: {{- include "minerva.volumes" . | nindent 2 }}
{{- end -}}

{{- define "minerva.nodePod" -}}
{{ include "minerva.common" . }}
terminationGracePeriodSeconds: 660
{{- with .Values.nodes.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodes.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            ray.io/group: nodes
            app.kubernetes.io/instance: {{ .Release.Name }}
initContainers: {{- include "minerva.keysContainer" . | nindent 2 }}
containers:
  - name: ray-worker
    image: {{ include "minerva.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    env: {{- include "minerva.environment" . | nindent 6 }}
    securityContext: {{- include "minerva.containerSecurity" . | nindent 6 }}
    resources: {{- toYaml .Values.nodes.resources | nindent 6 }}
    volumeMounts: {{- include "minerva.mounts" . | nindent 6 }}
      - {name: models, mountPath: /models, readOnly: true}
      - {name: state, mountPath: /state}
volumes: {{- include "minerva.volumes" . | nindent 2 }}
  - name: models
    {{- if .Values.nodes.models.claim }}
    persistentVolumeClaim: {claimName: {{ .Values.nodes.models.claim }}, readOnly: true}
    {{- else if .Values.nodes.models.hostPath }}
    hostPath: {path: {{ .Values.nodes.models.hostPath }}, type: Directory}
    {{- else }}
    {{- fail "nodes.models: set hostPath or claim to where the models are" }}
    {{- end }}
  - name: state
    {{- if .Values.nodes.state.hostPath }}
    hostPath: {path: {{ .Values.nodes.state.hostPath }}, type: DirectoryOrCreate}
    {{- else }}
    emptyDir: {sizeLimit: {{ .Values.nodes.state.sizeLimit }}}
    {{- end }}
{{- end -}}
