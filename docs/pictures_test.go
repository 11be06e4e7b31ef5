package docs_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var updatePictures = flag.Bool("update", false, "draw the pictures in docs/ anew")

func TestPicturesAreCurrent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source, picture string
		draw            func(string) (string, error)
	}{
		{"request.txt", "request.svg", drawRequest},
		{"performance.md", "cost.svg", drawCost},
	} {
		t.Run(tt.picture, func(t *testing.T) {
			source, err := os.ReadFile(tt.source)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tt.draw(string(source))
			if err != nil {
				t.Fatalf("%s: %v", tt.source, err)
			}
			if err := checkXML(want); err != nil {
				t.Fatal(err)
			}
			if *updatePictures {
				if err := os.WriteFile(tt.picture, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got, err := os.ReadFile(tt.picture); err != nil {
				t.Error(err)
			} else if string(got) != want {
				t.Errorf("%s does not show %s: go test ./docs -run Pictures -update", filepath.Join("docs", tt.picture), tt.source)
			}
		})
	}
}

func checkXML(text string) error {
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// pictureWidth fits a phone: there, text of size 16 is shown at about size 12.
const pictureWidth = 480

// The pictures are transparent, and text is always on a shape of the picture. So it is
// readable even where the color scheme of the page is not the one of the browser.
const style = `
text { font: 16px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.middle { text-anchor: middle }
.end { text-anchor: end }
.card { fill: #f6f8fa; stroke: #d1d9e0 }
.box { fill: #ddf4ff; stroke: #54aeff }
.arrow { stroke: #768390; stroke-width: 2 }
.head, .gray { fill: #768390 }
.portkey { fill: #0969da }
.other { fill: #bc4c00 }
.onportkey { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.card { fill: #151b23; stroke: #3d444d }
.box { fill: #121d2f; stroke: #1f6feb }
.portkey { fill: #1f6feb }
.other { fill: #db6d28 }
.onportkey { fill: #ffffff }
}
`

// A picture is an SVG image that grows downwards.
type picture struct {
	body   strings.Builder
	height int
}

func (p *picture) rect(class string, x, y, width, height int) {
	fmt.Fprintf(&p.body, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`+"\n", class, x, y, width, height)
}

func (p *picture) text(class string, x, y int, text string) {
	fmt.Fprintf(&p.body, `<text class="%s" x="%d" y="%d">%s</text>`+"\n", class, x, y, html.EscapeString(text))
}

// arrow draws a vertical arrow from y1 to y2.
func (p *picture) arrow(x, y1, y2 int) {
	base := y2 - 8 // of the head
	if y2 < y1 {
		base = y2 + 8
	}
	fmt.Fprintf(&p.body, `<path class="arrow" d="M%d,%d V%d"/>`+"\n", x, y1, base)
	fmt.Fprintf(&p.body, `<path class="head" d="M%d,%d h12 L%d,%d z"/>`+"\n", x-6, base, x, y2)
}

func (p *picture) svg(title string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="-1 -1 %d %d" role="img">
<title>%s</title>
<style>%s</style>
%s</svg>
`, pictureWidth+2, p.height+2, pictureWidth+2, p.height+2, html.EscapeString(title), style, &p.body)
}

// A participant of a request, and the lines between it and the next one.
type participant struct {
	name, role        string
	request, response []string
}

func parseRequest(text string) ([]participant, error) {
	var all []participant
	for line := range strings.Lines(text) {
		kind, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		last := len(all) - 1
		switch {
		case kind == "" || kind == "#":
		case kind == "=":
			name, role, _ := strings.Cut(value, " | ")
			all = append(all, participant{name: name, role: role})
		case kind == ">" && last >= 0:
			all[last].request = append(all[last].request, value)
		case kind == "<" && last >= 0:
			all[last].response = append(all[last].response, value)
		default:
			return nil, fmt.Errorf("unexpected line %q", line)
		}
	}
	return all, nil
}

func drawRequest(text string) (string, error) {
	const (
		boxHeight  = 56
		cardWidth  = 234
		lineHeight = 21
		shaft      = 22 // of an arrow, before and after its card
	)
	all, err := parseRequest(text)
	if err != nil {
		return "", err
	}
	var p picture
	for i, a := range all {
		box, on := "box", ""
		if a.name == "portkey.Transport" {
			box, on = "portkey", " onportkey"
		}
		p.rect(box, 0, p.height, pictureWidth, boxHeight)
		p.text("middle title"+on, pictureWidth/2, p.height+24, a.name)
		p.text("middle"+on, pictureWidth/2, p.height+45, a.role)
		p.height += boxHeight
		if i == len(all)-1 {
			break
		}

		cardHeight := max(len(a.request), len(a.response))*lineHeight + 14
		bottom := p.height + shaft + cardHeight + shaft
		for column, lines := range [][]string{a.request, a.response} {
			x := column * (pictureWidth - cardWidth)
			if isRequest := column == 0; isRequest {
				p.arrow(x+cardWidth/2, p.height, bottom-2)
			} else {
				p.arrow(x+cardWidth/2, bottom, p.height+2)
			}
			p.rect("card", x, p.height+shaft, cardWidth, cardHeight)
			y := p.height + shaft + (cardHeight-len(lines)*lineHeight)/2 - 5
			for _, line := range lines {
				y += lineHeight
				p.text("middle", x+cardWidth/2, y, line)
			}
		}
		p.height = bottom
	}
	return p.svg("The way of one request: from the LLM client through portkey.Transport and the gateway to the provider, and back"), nil
}

// drawCost draws the time of a call with each client, from the table of performance.md.
func drawCost(text string) (string, error) {
	_, table, found := strings.Cut(text, "\n### Whole calls, client included")
	if !found {
		return "", errors.New("no table of whole calls")
	}
	table, _, _ = strings.Cut(table, "\n#")
	type bar struct {
		client, way string
		micros      float64
	}
	var bars []bar
	longest := 0.0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 3 {
			continue
		}
		nanos, err := strconv.ParseFloat(cells[2], 64)
		if err != nil {
			continue // the head of the table
		}
		bars = append(bars, bar{strings.TrimPrefix(cells[0], "| "), cells[1], nanos / 1000})
		longest = max(longest, nanos/1000)
	}
	if len(bars) == 0 {
		return "", errors.New("no row in the table of whole calls")
	}

	const margin, barHeight = 16, 14
	var p picture
	p.height = margin
	client := ""
	for _, b := range bars {
		if b.client != client {
			client = b.client
			p.height += 26
			p.text("title", margin, p.height, client)
			p.height += 6
		}
		class, way := "other", b.way
		switch {
		case strings.HasPrefix(way, "**"):
			class, way = "portkey", strings.Trim(way, "*")
		case strings.HasPrefix(way, "no Portkey headers"):
			class = "gray"
		}
		p.text("", margin, p.height+20, way)
		p.text("end", pictureWidth-margin, p.height+20, fmt.Sprintf("%.1f µs", b.micros))
		p.rect(class, margin, p.height+27, int(b.micros/longest*(pictureWidth-2*margin)), barHeight)
		p.height += 44
	}
	p.height += margin
	body := p.body.String()
	p.body.Reset()
	p.rect("card", 0, 0, pictureWidth, p.height)
	p.body.WriteString(body)
	return p.svg("Time of a call without a network: no Portkey headers, portkey.Transport, and what users write instead"), nil
}

func TestUnreadablePictureDataIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"> a request of nobody", "= a\n? b"} {
		if _, err := drawRequest(text); err == nil {
			t.Errorf("%q: got no error, want one", text)
		}
	}
	for _, text := range []string{"no table", "\n### Whole calls, client included\nno row"} {
		if _, err := drawCost(text); err == nil {
			t.Errorf("%q: got no error, want one", text)
		}
	}
}
