{{- define "minerva.name" -}}
{{- printf "%s-minerva" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "minerva.labels" -}}
app.kubernetes.io/name: minerva
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "minerva.image" -}}
{{- printf "%s:%s" (required "image.repository: make the image from cluster/Containerfile and push it" .Values.image.repository) (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- /* No root, no new privileges, nothing writable but what is mounted. */ -}}
{{- define "minerva.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "minerva.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "minerva.volumes" -}}
- name: config
  configMap: {name: {{ include "minerva.name" . }}}
- name: keys
  secret: {secretName: {{ .Values.keys.secret }}, defaultMode: 0400}
- name: tmp
  emptyDir: {sizeLimit: 4Gi}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: 1Gi}
{{- end -}}

{{- define "minerva.mounts" -}}
- {name: config, mountPath: /etc/minerva, readOnly: true}
- {name: keys, mountPath: /run/secrets/minerva, readOnly: true}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- end -}}
