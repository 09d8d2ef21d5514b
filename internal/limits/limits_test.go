package limits

import (
	"testing"
	"time"
)

func TestOrDefaults(t *testing.T) {
	type inner struct{ Bytes int }
	type all struct {
		Number  int
		Bytes   int64
		Records uint64
		Time    time.Duration
		Inner   inner
	}
	defaults := all{1, 2, 3, time.Second, inner{5}}
	for _, c := range []struct{ have, want all }{
		{all{}, all{1, 2, 3, time.Second, inner{}}},
		{all{Number: -1, Bytes: -1, Time: -1}, all{1, 2, 3, time.Second, inner{}}},
		{all{Number: 7, Records: 7}, all{7, 2, 7, time.Second, inner{}}},
		{all{7, 8, 9, time.Hour, inner{6}}, all{7, 8, 9, time.Hour, inner{6}}},
	} {
		if got := OrDefaults(c.have, defaults); got != c.want {
			t.Errorf("%+v becomes %+v, want %+v", c.have, got, c.want)
		}
	}
}
