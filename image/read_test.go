package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// These read an archive by the image specification, with nothing of what wrote it.

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

type indexFile struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations"`
}

type manifestFile struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations"`
}

type configFile struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Created      time.Time `json:"created"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	Config struct {
		User       string
		Entrypoint []string
		Cmd        []string
		Env        []string
		WorkingDir string
		Volumes    map[string]struct{}
		Labels     map[string]string
	} `json:"config"`
}

// entry is a file or directory of a tar.
type entry struct {
	header  *tar.Header
	content []byte
}

// image is an archive as it was read: that of its one platform.
type image struct {
	archive  map[string]entry
	used     map[string]bool // the blobs that something refers to
	top      descriptor
	index    indexFile
	manifest manifestFile
	config   configFile
	files    map[string]entry // of its layer
}

func readTar(t *testing.T, r io.Reader) map[string]entry {
	t.Helper()
	out := map[string]entry{}
	for reader := tar.NewReader(r); ; {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if _, twice := out[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		out[name] = entry{h, content}
	}
}

// readImage reads an archive, and checks each digest and size on the way.
func readImage(t *testing.T, path string) *image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	i := &image{archive: readTar(t, f), used: map[string]bool{}}
	var version struct{ ImageLayoutVersion string }
	unmarshal(t, i.archive["oci-layout"].content, &version)
	if version.ImageLayoutVersion != "1.0.0" {
		t.Errorf("layout %q", version.ImageLayoutVersion)
	}
	var root indexFile
	unmarshal(t, i.archive["index.json"].content, &root)
	if len(root.Manifests) != 1 {
		t.Fatalf("index.json has %d entries", len(root.Manifests))
	}
	i.top = root.Manifests[0]
	unmarshal(t, i.blob(t, i.top, "application/vnd.oci.image.index.v1+json"), &i.index)
	if len(i.index.Manifests) != 1 {
		t.Fatalf("the index has %d platforms", len(i.index.Manifests))
	}
	unmarshal(t, i.blob(t, i.index.Manifests[0], "application/vnd.oci.image.manifest.v1+json"), &i.manifest)
	unmarshal(t, i.blob(t, i.manifest.Config, "application/vnd.oci.image.config.v1+json"), &i.config)
	if len(i.manifest.Layers) != 1 || len(i.config.RootFS.DiffIDs) != 1 {
		t.Fatalf("%d layers, %d of the config", len(i.manifest.Layers), len(i.config.RootFS.DiffIDs))
	}
	i.files = i.layer(t)
	return i
}

func (i *image) layer(t *testing.T) map[string]entry {
	t.Helper()
	packed := i.blob(t, i.manifest.Layers[0], "application/vnd.oci.image.layer.v1.tar+gzip")
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if d := digest(content); d != i.config.RootFS.DiffIDs[0] || i.config.RootFS.Type != "layers" {
		t.Errorf("the layer is %s, the config says %+v", d, i.config.RootFS)
	}
	return readTar(t, bytes.NewReader(content))
}

// blob gives what a descriptor refers to.
func (i *image) blob(t *testing.T, d descriptor, mediaType string) []byte {
	t.Helper()
	name := "blobs/" + strings.Replace(d.Digest, ":", "/", 1)
	b, ok := i.archive[name]
	if !ok {
		t.Fatalf("%s is not in the archive", name)
	}
	if digest(b.content) != d.Digest || int64(len(b.content)) != d.Size || d.MediaType != mediaType {
		t.Errorf("%s is %s of %d bytes, where %+v is expected", name, digest(b.content), len(b.content), d)
	}
	i.used[name] = true
	return b.content
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func unmarshal(t *testing.T, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%v in %.200s", err, b)
	}
}
