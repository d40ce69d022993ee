set -eu
LC_ALL=C
PATH="$PATH:/var/lib/rancher/rke2/bin"
KUBECONFIG=/etc/rancher/rke2/rke2.yaml
export LC_ALL PATH KUBECONFIG
command -v kubectl >/dev/null || { echo "kubectl is not on this node; is it one of the control plane?" >&2; exit 127; }
delete() {
  kubectl delete "$@" --namespace=default --ignore-not-found --wait=false --request-timeout=60s </dev/null
}
delete machinehealthchecks.v1beta1.cluster.x-k8s.io 'oneks-24-workers'
delete machinedeployments.v1beta1.cluster.x-k8s.io 'oneks-24-workers'
delete rke2configtemplates.v1beta1.bootstrap.cluster.x-k8s.io --selector='oneks.opennebula.io/group=oneks-24-workers'
delete onemachinetemplates.v1beta1.infrastructure.cluster.x-k8s.io --selector='oneks.opennebula.io/group=oneks-24-workers'
