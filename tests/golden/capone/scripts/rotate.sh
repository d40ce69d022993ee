set -eu
LC_ALL=C
PATH="$PATH:/var/lib/rancher/rke2/bin"
KUBECONFIG=/etc/rancher/rke2/rke2.yaml
export LC_ALL PATH KUBECONFIG
command -v kubectl >/dev/null || { echo "kubectl is not on this node; is it one of the control plane?" >&2; exit 127; }
kubectl apply --request-timeout=60s -f - <<'ONEKS_END'
---
apiVersion: v1
kind: Secret
metadata:
  name: "oneks-24"
  namespace: default
  labels:
    cluster.x-k8s.io/cluster-name: "oneks-24"
type: Opaque
data:
  ONE_AUTH: "@ONEKS:BASE64:ONE_AUTH@"
  ONE_XMLRPC: "aHR0cDovLzE2OS4yNTQuMTYuOToyNjMzL1JQQzI="
---
apiVersion: v1
kind: Secret
metadata:
  name: "oneks-24-ccm"
  namespace: default
  labels:
    cluster.x-k8s.io/cluster-name: "oneks-24"
type: addons.cluster.x-k8s.io/resource-set
stringData:
  cloud-controller-manager.yaml: |
    apiVersion: v1
    kind: Secret
    metadata:
      name: cloud-config
      namespace: kube-system
    type: Opaque
    data:
      config.yaml: "b3Blbm5lYnVsYToKICBwdWJsaWNOZXR3b3JrOgogICAgbmFtZTogInB1YmxpYyIKICBwcml2YXRlTmV0d29yazoKICAgIG5hbWU6ICJwcml2YXRlIgogIHZpcnR1YWxSb3V0ZXI6CiAgICB0ZW1wbGF0ZU5hbWU6ICJvbmVrcy0yNC1sYiIKICBlbmRwb2ludDoKICAgIE9ORV9YTUxSUEM6ICJodHRwOi8vMTY5LjI1NC4xNi45OjI2MzMvUlBDMiIKICAgIE9ORV9BVVRIOiB8Mi0KICAgICAg@ONEKS:BASE64:ONE_AUTH@"
    ---
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      name: opennebula-cloud-controller-manager
      namespace: kube-system
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata:
      name: opennebula-cloud-controller-manager
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: ClusterRole
      name: cluster-admin
    subjects:
      - kind: ServiceAccount
        name: opennebula-cloud-controller-manager
        namespace: kube-system
    ---
    apiVersion: apps/v1
    kind: DaemonSet
    metadata:
      name: cloud-controller-manager
      namespace: kube-system
      labels:
        k8s-app: cloud-controller-manager
    spec:
      selector:
        matchLabels:
          k8s-app: cloud-controller-manager
      template:
        metadata:
          labels:
            k8s-app: cloud-controller-manager
          annotations:
            # Another credential makes new pods: they read it when they start.
            oneks.opennebula.io/credential: "1"
        spec:
          serviceAccountName: opennebula-cloud-controller-manager
          priorityClassName: system-cluster-critical
          hostNetwork: true
          nodeSelector:
            node-role.kubernetes.io/control-plane: "true"
          tolerations:
            - key: node.cloudprovider.kubernetes.io/uninitialized
              value: "true"
              effect: NoSchedule
            - key: node-role.kubernetes.io/control-plane
              operator: Exists
              effect: NoSchedule
            - key: node-role.kubernetes.io/etcd
              operator: Exists
              effect: NoExecute
            - key: CriticalAddonsOnly
              operator: Exists
          containers:
            - name: cloud-controller-manager
              image: "ghcr.io/opennebula/cloud-provider-opennebula:v0.1.2"
              imagePullPolicy: IfNotPresent
              command:
                - /opennebula-cloud-controller-manager
                - --cloud-provider=opennebula
                - "--cluster-name=oneks-24"
                - --cloud-config=/etc/one/config.yaml
                - --leader-elect=true
                - --use-service-account-credentials
                - --controllers=cloud-node,cloud-node-lifecycle,service-lb-controller
              volumeMounts:
                - name: cloud-config
                  mountPath: /etc/one/
                  readOnly: true
          volumes:
            - name: cloud-config
              secret:
                secretName: cloud-config
---
apiVersion: v1
kind: Secret
metadata:
  name: cloud-config
  namespace: kube-system
type: Opaque
data:
  config.yaml: "b3Blbm5lYnVsYToKICBwdWJsaWNOZXR3b3JrOgogICAgbmFtZTogInB1YmxpYyIKICBwcml2YXRlTmV0d29yazoKICAgIG5hbWU6ICJwcml2YXRlIgogIHZpcnR1YWxSb3V0ZXI6CiAgICB0ZW1wbGF0ZU5hbWU6ICJvbmVrcy0yNC1sYiIKICBlbmRwb2ludDoKICAgIE9ORV9YTUxSUEM6ICJodHRwOi8vMTY5LjI1NC4xNi45OjI2MzMvUlBDMiIKICAgIE9ORV9BVVRIOiB8Mi0KICAgICAg@ONEKS:BASE64:ONE_AUTH@"

ONEKS_END
# CAPONE reads its Secret at each turn: that it holds the new credential is enough.
held=$(kubectl get secrets 'oneks-24' --namespace=default --request-timeout=30s \
  -o jsonpath='{.data.ONE_AUTH}' </dev/null)
[ "$held" = "@ONEKS:BASE64:ONE_AUTH@" ] || {
  echo "the Secret "'oneks-24'" does not hold the new credential" >&2
  exit 1
}
# The cloud controller reads its configuration when it starts. The mark in its template is in the ClusterResourceSet too.
sets=$(kubectl get daemonsets.apps --namespace=kube-system --selector=k8s-app=cloud-controller-manager \
  --request-timeout=30s -o name </dev/null)
for set in $sets; do
  kubectl patch "$set" --namespace=kube-system --type=merge --request-timeout=60s --patch='{"spec":{"template":{"metadata":{"annotations":{"oneks.opennebula.io/credential":"1"}}}}}' </dev/null
  kubectl rollout status "$set" --namespace=kube-system --timeout=180s </dev/null
done
