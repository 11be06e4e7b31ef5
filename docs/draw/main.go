// Command draw makes docs/request.svg of docs/request.txt: who takes part, then a
// line for each step, "from -> to: text" or "who: text".
package main

import (
	"fmt"
	"html"
	"log"
	"os"
	"slices"
	"strings"
)

func main() {
	text, err := os.ReadFile("docs/request.txt")
	if err != nil {
		log.Fatal(err)
	}
	svg, err := draw(string(text))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("docs/request.svg", []byte(svg), 0o644); err != nil {
		log.Fatal(err)
	}
}

const (
	columnWidth = 200
	rowHeight   = 34
	top         = 60 // of the first step
)

func draw(text string) (string, error) {
	var names, steps []string
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case names == nil:
			names = strings.Split(line, " | ")
		default:
			steps = append(steps, line)
		}
	}
	width, height := len(names)*columnWidth, top+len(steps)*rowHeight+10
	middle := func(name string) (int, error) {
		i := slices.Index(names, name)
		if i < 0 {
			return 0, fmt.Errorf("%q takes no part", name)
		}
		return i*columnWidth + columnWidth/2, nil
	}

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" text-anchor="middle">
<title>The way of one request, from client to gateway and back</title>
<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0,0 L9,4 L0,8 z"/></marker></defs>
<rect width="100%%" height="100%%" fill="white"/>
`, width, height)
	for i, name := range names {
		x := i*columnWidth + columnWidth/2
		fmt.Fprintf(&b, `<line x1="%d" y1="40" x2="%[1]d" y2="%d" stroke="#bbb"/>`+"\n", x, height-10)
		fmt.Fprintf(&b, `<rect x="%d" y="10" width="150" height="30" rx="4" fill="#eef" stroke="#447"/><text x="%d" y="30" font-weight="bold">%s</text>`+"\n",
			x-75, x, html.EscapeString(name))
	}
	for i, step := range steps {
		who, what, _ := strings.Cut(step, ": ")
		from, to, arrow := strings.Cut(who, " -> ")
		if !arrow {
			to = from
		}
		x1, err := middle(from)
		if err != nil {
			return "", err
		}
		x2, err := middle(to)
		if err != nil {
			return "", err
		}
		y := top + i*rowHeight
		if arrow {
			fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%[2]d" stroke="black" marker-end="url(#head)"/>`+"\n", x1, y+20, x2)
		} else {
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="230" height="26" rx="4" fill="#ffd" stroke="#886"/>`+"\n", x1-115, y)
			y += 3
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", (x1+x2)/2, y+14, html.EscapeString(what))
	}
	b.WriteString("</svg>\n")
	return b.String(), nil
}
