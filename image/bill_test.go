package main

import (
	"bytes"
	"debug/buildinfo"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/xeipuuv/gojsonschema"
)

// The bill of materials in the image is valid, and is that of the program beside it.
func TestBillOfMaterials(t *testing.T) {
	files := readImage(t, built.archive).files
	validate(t, files["sbom.json"].content)
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(files["sbom.json"].content), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	program := bom.Metadata.Component
	if program.Version != built.version || "sha256:"+(*program.Hashes)[0].Value != digest(files["peerbus"].content) {
		t.Errorf("the bill is of %+v", program)
	}
	info, err := buildinfo.Read(bytes.NewReader(files["peerbus"].content))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, c := range *bom.Components {
		listed[c.Name] = c.Version
		if c.Licenses == nil || len(*c.Licenses) == 0 {
			t.Errorf("%s has no licence", c.Name)
		}
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			t.Errorf("%s is %s in the program, %q in the bill", m.Path, m.Version, listed[m.Path])
		}
	}
	if listed["golang.org/x/crypto/x509roots/fallback"] == "" {
		t.Error("the program has no authorities, and the image none either")
	}
	if len(listed) != len(info.Deps)+1 || "go"+listed["stdlib"] != info.GoVersion {
		t.Errorf("%d components for %d modules and %s", len(listed), len(info.Deps), info.GoVersion)
	}
}

// validate checks a bill against the schema that CycloneDX has published, which its
// module carries.
func validate(t *testing.T, bill []byte) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) gojsonschema.JSONLoader {
		return gojsonschema.NewReferenceLoader("file://" + filepath.Join(strings.TrimSpace(string(dir)), "schema", name))
	}
	loader := gojsonschema.NewSchemaLoader()
	for id, name := range map[string]string{"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		if err := loader.AddSchema("http://cyclonedx.org/schema/"+id, file(name)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := loader.Compile(file("bom-1.6.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := schema.Validate(gojsonschema.NewBytesLoader(bill))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range result.Errors() {
		t.Error(e)
	}
}
