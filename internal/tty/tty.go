// Package tty says what the terminal on the other side can show.
package tty

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Style wraps text in terminal attributes; the zero Style leaves it plain.
type Style struct{ on bool }

// For returns the style for w: attributes on a terminal, none elsewhere, none when NO_COLOR (no-color.org) is set.
func For(w io.Writer, getenv func(string) string) Style {
	return Style{on: IsTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the width of the terminal w in columns, 80 when it is not known.
func Width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n >= 40 {
			return n
		}
	}
	return 80
}

// Bold, Dim, Red, Green, Yellow and Cyan return s with that attribute.
func (s Style) Bold(t string) string { return s.wrap("1", t) }

// Dim returns t dimmed.
func (s Style) Dim(t string) string { return s.wrap("2", t) }

// Red returns t in red.
func (s Style) Red(t string) string { return s.wrap("31", t) }

// Green returns t in green.
func (s Style) Green(t string) string { return s.wrap("32", t) }

// Yellow returns t in yellow.
func (s Style) Yellow(t string) string { return s.wrap("33", t) }

// Cyan returns t in cyan.
func (s Style) Cyan(t string) string { return s.wrap("36", t) }

func (s Style) wrap(code, t string) string {
	if !s.on || t == "" {
		return t
	}
	return "\x1b[" + code + "m" + t + "\x1b[0m"
}
