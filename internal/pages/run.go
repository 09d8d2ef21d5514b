//go:build unix

package pages

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// ports are those that pages use.
var ports = []string{"7400", "7401", "7402", "7403", "7404", "7411", "7480", "7490", "7491", "7492", "7493", "8099"}

// checkPorts finds out before a page starts what would make it fail in a riddle.
func checkPorts() error {
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			return fmt.Errorf("pages use the default ports, and one is taken: %w", err)
		}
		_ = l.Close()
	}
	return nil
}

// Runner runs a page.
type Runner struct {
	home      home
	dir       string
	shell     *shell
	terminals map[string]*terminal
	browser   *browser
}

// NewRunner makes the place where a page runs below dir, which is empty.
func NewRunner(repository, binary, dir string) (*Runner, error) {
	if err := checkPorts(); err != nil {
		return nil, err
	}
	h, err := newHome(repository, binary, dir)
	if err != nil {
		return nil, err
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	s, err := startShell(h, work)
	return &Runner{home: h, dir: work, shell: s, terminals: map[string]*terminal{}}, err
}

// Run does what a block says.
func (r *Runner) Run(b Block) error {
	name := b.Attributes["terminal"]
	switch {
	case b.Language == "sh" && name != "":
		return r.terminal(name).start(r.home, b.Line, b.Text)
	case b.Language == "sh":
		return r.shell.run(b.Line, Executed(b.Text))
	case b.Language == "console":
		return r.converse(b)
	case b.Language == "text" && name == browserName && b.Attributes["page"] != "":
		return r.open(b.Attributes["page"], b.Text)
	case b.Language == "text" && name != "":
		return r.terminal(name).expect(b.Text)
	case b.Language == "js":
		return r.script(b.Text)
	default:
		return nil
	}
}

// converse types the commands of a console block in, and compares what they print.
func (r *Runner) converse(b Block) error {
	commands, err := b.Commands()
	if err != nil {
		return err
	}
	for i, c := range commands {
		status, printed, err := r.shell.ask(c.Line, c.Text)
		switch mayFail := i+1 < len(commands) && commands[i+1].Text == "echo $?"; {
		case err != nil:
			return fmt.Errorf("line %d: %w", c.Line, err)
		case status != 0 && !mayFail:
			return fmt.Errorf("line %d: exit status %d, and it printed\n%s", c.Line, status, printed)
		case !Match(c.Want, printed):
			return fmt.Errorf("line %d: the page says it prints\n%s\nbut it is\n%s", c.Line, c.Want, printed)
		}
	}
	return nil
}

func (r *Runner) terminal(name string) *terminal {
	t := r.terminals[name]
	if t == nil {
		t = &terminal{name: name, path: filepath.Join(r.dir, name)}
		r.terminals[name] = t
	}
	return t
}

// browserName is the terminal that the browser's pages print to.
const browserName = "browser"

// script types a script into the browser's console.
func (r *Runner) script(text string) error {
	if err := r.needBrowser(); err != nil {
		return err
	}
	return r.browser.run(text)
}

// open opens a page in the browser, and waits until it has printed what is wanted.
func (r *Runner) open(url, want string) error {
	if err := r.needBrowser(); err != nil {
		return err
	}
	if err := r.browser.open(url); err != nil {
		return err
	}
	return r.terminal(browserName).expect(want)
}

func (r *Runner) needBrowser() error {
	if r.browser != nil {
		return nil
	}
	b, err := openBrowser(filepath.Join(r.dir, "profile"), r.terminal(browserName).path)
	if err == nil {
		r.browser = b
	}
	return err
}

// Printed is what the page has printed so far.
func (r *Runner) Printed() string {
	var all strings.Builder
	all.WriteString(r.shell.printed())
	for name, t := range r.terminals {
		text, _ := os.ReadFile(t.path)
		_, _ = fmt.Fprintf(&all, "--- terminal %s\n%s", name, text)
	}
	return all.String()
}

// End ends all that the page has started.
func (r *Runner) End() error {
	if r.browser != nil {
		r.browser.end()
	}
	var errs []error
	for _, t := range r.terminals {
		errs = append(errs, t.interrupt())
	}
	return errors.Join(append(errs, r.shell.end())...)
}
