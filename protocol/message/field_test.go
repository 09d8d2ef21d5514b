package message

import "testing"

func TestFieldOf(t *testing.T) {
	for body, want := range map[string]string{
		``: "", `{}`: "", ` { } `: "", `{"code":1}`: "1", ` { "a" : {"code":2} , "code" : [1, "}"] } `: `[1, "}"]`,
		`{"code":1,"code":"2"}`: `"2"`, `{"Code":1}`: "", `{"code":3,"CODE":1}`: "3", `{"\u0063ode":4,"x":"\"code\":5"}`: "4", `{"code\\":1}`: "",
		`{"code":null}`: "null",
	} {
		if got, err := fieldOf([]byte(body), "code"); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", body, got, err, want)
		}
	}
	for _, body := range []string{`[]`, `{"code":1`, `{"code":1]`, `{"code":}`, `{"code":01}`, `null`, ` `} {
		if got, err := fieldOf([]byte(body), "code"); err == nil {
			t.Errorf("%s: %q", body, got)
		}
	}
}
