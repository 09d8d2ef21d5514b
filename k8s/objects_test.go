package k8s

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// objects are those of one combination.
type objects struct {
	combination  manifests.Combination
	namespaces   []corev1.Namespace
	configMaps   []corev1.ConfigMap
	services     []corev1.Service
	claims       []corev1.PersistentVolumeClaim
	workloads    []workload
	policies     []networkingv1.NetworkPolicy
	disruptions  []policyv1.PodDisruptionBudget
	autoscalings []autoscalingv2.HorizontalPodAutoscaler
}

// workload is what has pods: a Deployment, or the StatefulSet of NATS.
type workload struct {
	kind     string
	meta     metav1.ObjectMeta
	replicas *int32
	strategy appsv1.DeploymentStrategyType // of a Deployment
	selector map[string]string
	template corev1.PodTemplateSpec
}

// name is that of the component, or nats.
func (w workload) name() string { return componentOf(w.selector) }

func (w workload) container() corev1.Container { return w.template.Spec.Containers[0] }

// several tells whether there are replicas, whoever sets their number.
func (w workload) several() bool { return w.replicas == nil || *w.replicas > 1 }

func componentOf(labels map[string]string) string {
	if c := labels["app.kubernetes.io/component"]; c != "" {
		return c
	}
	return labels["app.kubernetes.io/name"]
}

// built has all combinations. It is made once.
var built = sync.OnceValues(buildAll)

func buildAll() ([]objects, error) {
	var all []objects
	for _, c := range manifests.Combinations() {
		o, err := build(c)
		if err != nil {
			return nil, errors.New(c.String() + ": " + err.Error())
		}
		all = append(all, o)
	}
	return all, nil
}

// each runs a test on every combination.
func each(t *testing.T, f func(t *testing.T, o objects)) {
	t.Helper()
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("there are %d combinations", len(all))
	}
	for _, o := range all {
		t.Run(o.combination.String(), func(t *testing.T) { f(t, o) })
	}
}

// eachWorkload runs a test on all that has pods, of every combination.
func eachWorkload(t *testing.T, f func(t *testing.T, o objects, w workload)) {
	t.Helper()
	each(t, func(t *testing.T, o objects) {
		if len(o.workloads) < 5 {
			t.Fatalf("there are %d workloads", len(o.workloads))
		}
		for _, w := range o.workloads {
			t.Run(w.name(), func(t *testing.T) { f(t, o, w) })
		}
	})
}

func build(c manifests.Combination) (objects, error) {
	o := objects{combination: c}
	dir, err := os.MkdirTemp("", "peerbus-k8s-")
	if err != nil {
		return o, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return o, err
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return o, err
	}
	if err := c.Write(root, dir, ""); err != nil {
		return o, err
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return o, err
	}
	text, err := resources.AsYaml()
	if err != nil {
		return o, err
	}
	return o, o.read(text)
}

func (o *objects) read(text []byte) error {
	for docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := o.add(doc); err != nil {
			return err
		}
	}
}

// add reads an object. A field that there is not is an error.
func (o *objects) add(doc []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "Namespace":
		return appendTo(&o.namespaces, doc)
	case "ConfigMap":
		return appendTo(&o.configMaps, doc)
	case "Service":
		return appendTo(&o.services, doc)
	case "PersistentVolumeClaim":
		return appendTo(&o.claims, doc)
	case "NetworkPolicy":
		return appendTo(&o.policies, doc)
	case "PodDisruptionBudget":
		return appendTo(&o.disruptions, doc)
	case "HorizontalPodAutoscaler":
		return appendTo(&o.autoscalings, doc)
	case "Deployment":
		var d appsv1.Deployment
		err := yaml.UnmarshalStrict(doc, &d)
		o.workloads = append(o.workloads, workload{kind.Kind, d.ObjectMeta, d.Spec.Replicas, d.Spec.Strategy.Type, d.Spec.Selector.MatchLabels, d.Spec.Template})
		return err
	case "StatefulSet":
		var s appsv1.StatefulSet
		err := yaml.UnmarshalStrict(doc, &s)
		o.workloads = append(o.workloads, workload{kind.Kind, s.ObjectMeta, s.Spec.Replicas, "", s.Spec.Selector.MatchLabels, s.Spec.Template})
		return err
	}
	return errors.New("nobody looks at a " + kind.Kind)
}

func appendTo[T any](list *[]T, doc []byte) error {
	var object T
	err := yaml.UnmarshalStrict(doc, &object)
	*list = append(*list, object)
	return err
}
