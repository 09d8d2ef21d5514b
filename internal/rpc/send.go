package rpc

import "context"

// SendAll sends what next gives, until ctx is done or the stream has ended: why it has
// is for its reader to tell. When next gives nil there is nothing before wake.
func SendAll[M any](ctx context.Context, next func() *M, wake <-chan struct{}, send func(*M) error) {
	for {
		m := next()
		if m == nil {
			select {
			case <-wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if send(m) != nil {
			return
		}
	}
}
