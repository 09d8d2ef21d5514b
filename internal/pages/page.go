//go:build unix

package pages

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Page is what counts of a Markdown file.
type Page struct {
	Blocks  []Block
	Anchors map[string]bool
	Links   []Text // targets of links
	Spans   []Text // code within a line
}

// Block is a fenced block.
type Block struct {
	Line       int // of its first line of text, from 1
	Language   string
	Attributes map[string]string
	Text       string // without the indentation of its fence
}

// Text is a piece of a page, and where it is.
type Text struct {
	Line int
	Text string
}

var (
	fence   = regexp.MustCompile("^( *)(```+|~~~+) *([^`]*)$")
	heading = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	span    = regexp.MustCompile("`([^`]+)`")
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^()\s]+)\)`)
)

// Parse reads a page. It knows as much of Markdown as these pages use.
func Parse(text string) (Page, error) {
	p := Page{Anchors: map[string]bool{}}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if m := fence.FindStringSubmatch(lines[i]); m != nil {
			block, end, err := readBlock(lines, i, m)
			if err != nil {
				return p, err
			}
			p.Blocks = append(p.Blocks, block)
			i = end
			continue
		}
		p.line(i+1, lines[i])
	}
	return p, nil
}

// readBlock reads from the fence at start, of which m is the match, to its end.
func readBlock(lines []string, start int, m []string) (b Block, end int, err error) {
	b = Block{Line: start + 2, Attributes: map[string]string{}}
	for i, word := range strings.Fields(m[3]) {
		name, value, isAttribute := strings.Cut(word, "=")
		switch {
		case i == 0:
			b.Language = word
		case isAttribute:
			b.Attributes[name] = value
		default:
			return b, 0, fmt.Errorf("line %d: %q of the fence is no NAME=VALUE", start+1, word)
		}
	}
	var text strings.Builder
	for end = start + 1; end < len(lines); end++ {
		trimmed := strings.TrimSpace(lines[end])
		if strings.HasPrefix(trimmed, m[2]) && strings.Trim(trimmed, m[2][:1]) == "" {
			b.Text = text.String()
			return b, end, nil
		}
		text.WriteString(strings.TrimPrefix(lines[end], m[1]) + "\n")
	}
	return b, 0, fmt.Errorf("line %d: the fence has no end", start+1)
}

// line reads a line outside of blocks.
func (p *Page) line(number int, text string) {
	if m := heading.FindStringSubmatch(text); m != nil {
		p.addAnchor(m[1])
	}
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		p.Spans = append(p.Spans, Text{number, m[1]})
	}
	for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(text, "`"), -1) {
		p.Links = append(p.Links, Text{number, m[1]})
	}
}

// addAnchor names a heading as code hosts do: a second one of the same text gets -1.
func (p *Page) addAnchor(title string) {
	title = link.ReplaceAllStringFunc(title, func(l string) string { return l[1:strings.Index(l, "](")] })
	base := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, title)
	anchor := base
	for n := 1; p.Anchors[anchor]; n++ {
		anchor = fmt.Sprintf("%s-%d", base, n)
	}
	p.Anchors[anchor] = true
}

// Command is a command of a console block and what it prints.
type Command struct {
	Line int
	Text string
	Want string
}

// Commands takes a console block apart. A command goes on after a backslash at the
// end of a line, and on lines that begin with `> `.
func (b Block) Commands() ([]Command, error) {
	var all []Command
	open := false // the command goes on
	for i, line := range strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n") {
		last := len(all) - 1
		rest, more := strings.CutPrefix(line, "> ")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			all = append(all, Command{Line: b.Line + i, Text: command})
		case last < 0:
			return nil, fmt.Errorf("line %d: output before the first command", b.Line+i)
		case open, more && all[last].Want == "":
			all[last].Text += "\n" + rest
		default:
			all[last].Want += line + "\n"
		}
		open = strings.HasSuffix(line, `\`) && (isCommand || open || more)
	}
	return all, nil
}
