package oci

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// indexOf makes the index of the images of directories, one for each platform.
func indexOf(about About, dirs []string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	source := ""
	have := map[string]string{}
	for _, dir := range dirs {
		binary := filepath.Join(dir, "peerbus")
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", binary, err)
		}
		platform, err := platformOf(info)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", binary, err)
		}
		if other := have[platform.String()]; other != "" {
			return nil, fmt.Errorf("%s and %s are both for %s", other, dir, platform)
		}
		have[platform.String()] = dir
		source = "https://" + info.Main.Path
		img, err := imageOf(about, dir, platform, source)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return mutate.Annotations(index, about.annotations(source)).(v1.ImageIndex), nil
}

// platformOf says what a program was built for. One that is not for Linux, or is linked
// with C and so may need what is not there, is refused.
func platformOf(info *debug.BuildInfo) (v1.Platform, error) {
	of := map[string]string{}
	for _, s := range info.Settings {
		of[s.Key] = s.Value
	}
	if of["GOOS"] != "linux" || of["GOARCH"] == "" {
		return v1.Platform{}, fmt.Errorf("was built for %s/%s, not for Linux", of["GOOS"], of["GOARCH"])
	}
	if of["CGO_ENABLED"] != "0" {
		return v1.Platform{}, fmt.Errorf("was built with CGO_ENABLED=%s; only a static program runs FROM scratch", of["CGO_ENABLED"])
	}
	p := v1.Platform{OS: of["GOOS"], Architecture: of["GOARCH"]}
	switch p.Architecture {
	case "arm":
		p.Variant = "v" + strings.SplitN(of["GOARM"], ",", 2)[0]
	case "arm64":
		p.Variant = "v8"
	}
	return p, nil
}

func imageOf(about About, dir string, p v1.Platform, source string) (v1.Image, error) {
	layer, err := layerOf(dir, about.Time)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.ConfigFile(img, about.config(p, source)); err != nil {
		return nil, err
	}
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: about.Time}, CreatedBy: "make image", Comment: "peerbus " + about.Version,
	}})
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(img, about.annotations(source)).(v1.Image), nil
}
