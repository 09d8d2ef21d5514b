package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layerOf packs the files of a directory, and the directory for state.
func layerOf(dir string, at time.Time) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(Programs)) {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: Programs[name], Size: int64(len(content))}
		if err := put(w, h, at, content); err != nil {
			return nil, err
		}
	}
	if err := putState(w, at); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
}

// putState writes StateDir, which is the user's, and its parents, which are root's.
func putState(w *tar.Writer, at time.Time) error {
	dir := ""
	for part := range strings.SplitSeq(strings.Trim(StateDir, "/"), "/") {
		dir = path.Join(dir, part)
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}
		if "/"+dir == StateDir {
			h.Mode, h.Uid, h.Gid = stateMode, uid, uid
		}
		if err := put(w, h, at, nil); err != nil {
			return err
		}
	}
	return nil
}

func put(w *tar.Writer, h *tar.Header, at time.Time, content []byte) error {
	h.ModTime, h.Format = at, tar.FormatUSTAR
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	_, err := w.Write(content)
	return err
}
