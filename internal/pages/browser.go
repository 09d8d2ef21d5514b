//go:build unix

package pages

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// gatewayPage is the page into whose console scripts are typed.
const gatewayPage = "http://127.0.0.1:7490/docs/"

// Bounds of a browser.
const (
	startTime  = time.Minute
	scriptTime = 30 * time.Second
)

// browser is a tab without a window.
type browser struct {
	ctx     context.Context
	cancel  []context.CancelFunc
	printed sync.WaitGroup // the goroutine that writes down what scripts print
}

// openBrowser opens the gateway's page. dir is its own; what scripts print goes to
// the file.
func openBrowser(dir, file string) (*browser, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.UserDataDir(dir))
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endTab := chromedp.NewContext(alloc)
	b := &browser{ctx: ctx, cancel: []context.CancelFunc{endTab, endAlloc}}
	slow := time.AfterFunc(startTime, endAlloc)
	defer slow.Stop()
	out, err := os.Create(file)
	if err != nil {
		b.end()
		return nil, err
	}
	messages := chromedp.Console(ctx)
	b.printed.Go(func() {
		defer func() { _ = out.Close() }()
		for m, err := range messages {
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(out, m.Text) // what is missing is missed by the page
		}
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(gatewayPage)); err != nil {
		b.end()
		return nil, fmt.Errorf("browser: %w", err)
	}
	return b, nil
}

// run types a script into the console: it may await, and say again what is const.
func (b *browser) run(text string) error {
	ctx, cancel := context.WithTimeout(b.ctx, scriptTime)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.EvaluateAsDevTools[chromedp.Void](text, chromedp.EvalAwaitPromise, replMode))
	return err
}

// open opens another page.
func (b *browser) open(url string) error {
	ctx, cancel := context.WithTimeout(b.ctx, scriptTime)
	defer cancel()
	return chromedp.Do(ctx, chromedp.Navigate(url))
}

func replMode(p *runtime.EvaluateParams) {
	yes := true
	p.ReplMode = &yes
}

func (b *browser) end() {
	_ = chromedp.Cancel(b.ctx) // it may have ended already
	for _, cancel := range b.cancel {
		cancel()
	}
	b.printed.Wait()
}
