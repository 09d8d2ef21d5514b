package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/config"
)

type settings struct {
	addr  string
	port  int
	nodes []string
}

func flags(s *settings) *pflag.FlagSet {
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.String(config.FileFlag, "", "")
	f.StringVar(&s.addr, "bus-addr", "default", "")
	f.IntVar(&s.port, "udp-port", 0, "")
	f.StringArrayVar(&s.nodes, "node", nil, "")
	return f
}

func known(name string) bool { return name == "domain" }

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	path := file(t, "bus-addr: file\nudp-port: 3\nnode: [a=1, b=2]\ndomain: of another mode\n")
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		want    settings
	}{
		{"defaults", nil, []string{"HOME=/"}, settings{"default", 0, nil}},
		{"file", []string{"--config", path}, nil, settings{"file", 3, []string{"a=1", "b=2"}}},
		{"file named by the environment", nil, []string{"PEERBUS_CONFIG=" + path}, settings{"file", 3, []string{"a=1", "b=2"}}},
		{"environment over file", []string{"--config", path}, []string{"PEERBUS_BUS_ADDR=env", "PEERBUS_NODE=c=3 d=4"}, settings{"env", 3, []string{"c=3", "d=4"}}},
		{"flag over both", []string{"--config", path, "--bus-addr=flag", "--node", "e=5"}, []string{"PEERBUS_BUS_ADDR=env"}, settings{"flag", 3, []string{"e=5"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got settings
			f := flags(&got)
			if err := f.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			if err := config.Load(f, tc.environ, known); err != nil {
				t.Fatal(err)
			}
			if got.addr != tc.want.addr || got.port != tc.want.port || !slices.Equal(got.nodes, tc.want.nodes) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for _, tc := range []struct{ yaml, env, want string }{
		{"", "PEERBUS_BUS_ADR=x", "PEERBUS_BUS_ADR is no setting"},
		{"", "PEERBUS_UDP_PORT=many", "PEERBUS_UDP_PORT"},
		{"bus-adr: x", "", `"bus-adr" is no setting`},
		{"udp-port: many", "", "udp-port"},
		{"udp-port: [1, 2]", "", "udp-port: takes one value"},
		{"bus-addr: {a: b}", "", "bus-addr is neither"},
		{"node: [[a]]", "", "node has a list"},
		{"- a", "", "want a mapping"},
		{"bus-addr: a\nbus-addr: b", "", "twice"},
		{"a: b: c", "", "mapping"},
	} {
		var s settings
		f := flags(&s)
		args := []string{}
		if tc.yaml != "" {
			args = []string{"--config", file(t, tc.yaml)}
		}
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		err := config.Load(f, []string{tc.env}, known)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q %q: %v, want %q", tc.yaml, tc.env, err, tc.want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	var s settings
	f := flags(&s)
	if err := f.Parse([]string{"--config", "/does/not/exist"}); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(f, nil, known); err == nil {
		t.Error("a missing file is taken")
	}
}

func FuzzFile(f *testing.F) {
	f.Add("bus-addr: file\nudp-port: 3\nnode: [a=1, b=2]\n")
	path := filepath.Join(f.TempDir(), "settings.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var s settings
		fl := flags(&s)
		if err := fl.Parse([]string{"--config", path}); err != nil {
			t.Fatal(err)
		}
		_ = config.Load(fl, nil, known)
	})
}
