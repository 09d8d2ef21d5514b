package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Write writes the archive of an image whose files for each platform are in a directory.
// The file is there whole or not at all.
func Write(file string, about About, dirs []string) error {
	if file == "" {
		return errors.New("no file is named for the archive")
	}
	name, err := fullName(about.Name)
	if err != nil {
		return err
	}
	index, err := indexOf(about, dirs)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(file), ".image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	whole := filepath.Join(work, "image.tar")
	if err := writeLayout(filepath.Join(work, "layout"), index, name); err != nil {
		return err
	}
	if err := pack(whole, filepath.Join(work, "layout"), about.Time); err != nil {
		return err
	}
	return os.Rename(whole, file)
}

// fullName gives the name by which Kubernetes looks for an image: with a host, also where
// the short name has none.
func fullName(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("name of the image %q: %w", name, err)
	}
	if _, ok := named.(reference.Tagged); !ok {
		return "", fmt.Errorf("name of the image %q: a tag is missing", name)
	}
	return named.String(), nil
}

// writeLayout writes the image layout. The name is there for skopeo and podman, and for
// containerd under its own key.
func writeLayout(dir string, index v1.ImageIndex, name string) error {
	root, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return root.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": name,
		"io.containerd.image.name":          name,
	}))
}

// pack makes a tar of a directory, in the order of names.
func pack(file, dir string, at time.Time) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return put(w, &tar.Header{Typeflag: tar.TypeDir, Name: filepath.ToSlash(rel) + "/", Mode: 0o755}, at, nil)
		}
		content, err := os.ReadFile(path) // likewise
		if err != nil {
			return err
		}
		return put(w, &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(content))}, at, content)
	})
	if err != nil {
		return err
	}
	return w.Close()
}
