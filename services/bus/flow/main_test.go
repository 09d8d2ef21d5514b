package flow

import (
	"flag"
	"os"
	"testing"
)

// TestMain has the model tests go further than by default; flags of the command
// line still decide.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "500", "rapid.steps": "60", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
