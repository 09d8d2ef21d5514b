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

var rules = config.Rules{Known: func(name string) bool { return name == "domain" }}

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
			if err := config.Load(f, tc.environ, rules); err != nil {
				t.Fatal(err)
			}
			if got.addr != tc.want.addr || got.port != tc.want.port || !slices.Equal(got.nodes, tc.want.nodes) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// A setting that stands for others, and what is below the file.
func TestStandsForAndBelow(t *testing.T) {
	path := file(t, "bus-addr: file\n")
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		below   map[string]string
		want    string
	}{
		{"below alone", nil, nil, map[string]string{"bus-addr": "below", "other": "of another mode"}, "below"},
		{"it stands for it below", nil, nil, map[string]string{"addr": "both"}, "both"},
		{"the own name wins at the same place", nil, nil, map[string]string{"addr": "both", "bus-addr": "below"}, "below"},
		{"file over below", []string{"--config", path}, nil, map[string]string{"bus-addr": "below"}, "file"},
		{"what stands for it over file", []string{"--config", path}, []string{"PEERBUS_ADDR=env"}, nil, "env"},
		{"flag for both over environment", []string{"--addr", "flag"}, []string{"PEERBUS_BUS_ADDR=env"}, nil, "flag"},
		{"own flag over flag for both", []string{"--addr", "flag", "--bus-addr", "own"}, nil, nil, "own"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got settings
			f := flags(&got)
			f.String("addr", "", "")
			if err := f.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			with := rules
			with.StandsFor = map[string][]string{"addr": {"bus-addr", "of-another-mode"}}
			with.Below = func() (string, map[string]string, error) { return "context x", tc.below, nil }
			if err := config.Load(f, tc.environ, with); err != nil || got.addr != tc.want {
				t.Errorf("%s, %v; want %s", got.addr, err, tc.want)
			}
		})
	}
}

func TestWhatIsWrongBelowIsNamed(t *testing.T) {
	var s settings
	with := rules
	with.Below = func() (string, map[string]string, error) {
		return "context x", map[string]string{"udp-port": "many"}, nil
	}
	if err := config.Load(flags(&s), nil, with); err == nil || !strings.Contains(err.Error(), "context x: udp-port") {
		t.Error(err)
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
		err := config.Load(f, []string{tc.env}, rules)
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
	if err := config.Load(f, nil, rules); err == nil {
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
		_ = config.Load(fl, nil, rules)
	})
}
