// Package sbom tells what is in a program: CycloneDX 1.6, made from what the Go command
// wrote into it. The same binary gives the same bytes.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Write writes the bill of materials of a Go program. The version of the program itself
// and the time are given; nothing else is taken from anywhere but the binary, but for the
// licences, which are read from the module cache that it was built from.
func Write(w io.Writer, binary, version string, at time.Time) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	digest, err := digestOf(binary)
	if err != nil {
		return err
	}
	found, err := licences(info)
	if err != nil {
		return err
	}
	bom := billOf(info, found, version, digest, at)
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// billOf makes the bill: the program, and each module in it with its licences.
func billOf(info *debug.BuildInfo, found map[string][]string, version, digest string, at time.Time) *cdx.BOM {
	bom := cdx.NewBOM()
	program := component(cdx.ComponentTypeApplication, info.Main.Path, version, nil)
	program.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: digest}}
	program.Properties = properties(info)
	bom.Metadata = &cdx.Metadata{
		Timestamp: at.Format(time.RFC3339), Component: &program,
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "github.com/peerbus/peerbus/image"}}},
	}
	components := []cdx.Component{}
	uses := []string{}
	for _, m := range append(slices.Clone(info.Deps), &debug.Module{Path: stdlib, Version: strings.TrimPrefix(info.GoVersion, "go")}) {
		c := library(used(m), found[m.Path])
		components, uses = append(components, c), append(uses, c.BOMRef)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &uses}}
	return bom
}

// stdlib is the name that lists of vulnerabilities know the standard library by.
const stdlib = "stdlib"

// used gives a module as it was built: its replacement, where it has one.
func used(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

func library(m *debug.Module, licences []string) cdx.Component {
	c := component(cdx.ComponentTypeLibrary, m.Path, m.Version, licences)
	if h := hexSum(m.Sum); h != "" {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: h}}
	}
	return c
}

func component(kind cdx.ComponentType, path, version string, licences []string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cdx.Component{BOMRef: purl, Type: kind, Name: path, Version: version, PackageURL: purl}
	if len(licences) > 0 {
		list := cdx.Licenses{}
		for _, id := range licences {
			list = append(list, cdx.LicenseChoice{License: &cdx.License{ID: id}})
		}
		c.Licenses = &list
	}
	return c
}

// properties are the settings of the build that decide what is in the program.
func properties(info *debug.BuildInfo) *[]cdx.Property {
	out := []cdx.Property{{Name: "go:version", Value: info.GoVersion}}
	for _, s := range info.Settings {
		if !strings.HasPrefix(s.Key, "-") && !strings.HasPrefix(s.Key, "vcs") {
			out = append(out, cdx.Property{Name: "go:" + s.Key, Value: s.Value})
		}
	}
	return &out
}

// hexSum gives the sum of go.sum, SHA-256 in base64, in hexadecimal.
func hexSum(sum string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	if err != nil {
		return ""
	}
	return hex.EncodeToString(raw)
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
