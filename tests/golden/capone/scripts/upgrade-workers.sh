set -eu
LC_ALL=C
PATH="$PATH:/var/lib/rancher/rke2/bin"
KUBECONFIG=/etc/rancher/rke2/rke2.yaml
export LC_ALL PATH KUBECONFIG
command -v kubectl >/dev/null || { echo "kubectl is not on this node; is it one of the control plane?" >&2; exit 127; }
kubectl patch 'machinedeployments.v1beta1.cluster.x-k8s.io' 'oneks-24-workers' --namespace=default --type=merge --request-timeout=60s \
  --patch='{"spec":{"template":{"spec":{"version":"v1.34.2+rke2r1"}}}}' </dev/null
