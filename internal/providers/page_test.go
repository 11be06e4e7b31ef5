package providers

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var updatePage = flag.Bool("update", false, "write the tables of docs/providers.md")

// docs/providers.md has text of its own before and after the tables.
func TestPageIsCurrent(t *testing.T) {
	const (
		path  = "../../docs/providers.md"
		begin = "<!-- The tables are generated from internal/providers/table.go: go test ./internal/providers -run Page -update -->\n"
		end   = "<!-- End of the tables. -->\n"
	)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	_, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s lacks the lines around the tables", path)
	}
	want := before + begin + tables(t) + end + after
	switch {
	case string(text) == want:
	case *updatePage:
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the table says: go test ./internal/providers -run Page -update", path)
	}
}

// tables returns the rows as Markdown, with the comments in table.go: above a group of
// rows its heading and its introduction, behind a row a note.
func tables(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(source), "\nvar rows = []row{\n")
	text, _, _ = strings.Cut(text, "\n}\n")
	var page strings.Builder
	remaining := rows
	for group := range strings.SplitSeq(text, "\n\n") {
		isFirst, seen := true, make(map[string]bool)
		for line := range strings.Lines(group) {
			if comment, ok := strings.CutPrefix(line, "\t// "); ok {
				if isFirst {
					comment = "\n## " + comment
				}
				fmt.Fprintf(&page, "%s\n", comment)
				isFirst = false
				continue
			}
			if len(seen) == 0 {
				page.WriteString("| base URL | provider | headers | |\n| --- | --- | --- | --- |\n")
			}
			r := remaining[0]
			remaining = remaining[1:]
			if !strings.Contains(line, `"`+r.url+`"`) {
				t.Fatalf("table.go: got %s, want the row of %s on one line", line, r.url)
			}
			_, note, _ := strings.Cut(strings.TrimSpace(line), " // ")
			if r.translatedOnly {
				note = "only the endpoints that the gateway translates"
			}
			fmt.Fprintf(&page, "| `%s` | `%s` | %s | %s |\n", r.url, r.provider, r.impliedText(), note)
			seen[r.provider] = true
		}
		byText := make(map[string][]string)
		for _, provider := range slices.Sorted(maps.Keys(seen)) {
			if text := specialText(specials[provider]); text != "" {
				byText[text] = append(byText[text], "`"+provider+"`")
			}
		}
		for _, text := range slices.Sorted(maps.Keys(byText)) {
			fmt.Fprintf(&page, "\n%s: %s.\n", strings.Join(byText[text], ", "), text)
		}
	}
	if len(remaining) > 0 {
		t.Fatalf("got %d rows less than in the table", len(remaining))
	}
	return page.String() + "\n"
}

// impliedText names the headers that a row implies besides x-portkey-provider.
func (r *row) impliedText() string {
	var all []string
	for _, name := range namePattern.FindAllStringSubmatch(r.url, -1) {
		all = append(all, "`x-portkey-"+name[1]+"`")
	}
	if r.implies.Key != "" {
		all = append(all, fmt.Sprintf("`%s: %s`", strings.ToLower(r.implies.Key), r.implies.Value))
	}
	if r.base != "" {
		value := ""
		if r.suffix != "" {
			value = ": " + strings.TrimSuffix(r.url, r.suffix)
		}
		all = append(all, "`"+strings.ToLower(r.base)+value+"`")
	}
	return strings.Join(all, ", ")
}

// specialText describes how the clients of a provider differ from OpenAI's.
func specialText(s Special) string {
	var all []string
	if s.KeyHeader != "" {
		all = append(all, fmt.Sprintf("where the gateway has a route for the endpoint, an API key in `%s` is sent in `authorization`, a token in "+
			"`authorization` is sent in `%s`, and `%s` of the query in `%s` as well; elsewhere, the gateway passes them on",
			strings.ToLower(s.KeyHeader), strings.ToLower(s.TokenHeader), s.query, strings.ToLower(s.queryHeader)))
	}
	if s.KeyQuery != "" {
		all = append(all, fmt.Sprintf("`%s` in the query is an API key", s.KeyQuery))
	}
	if s.WithBearer.Key != "" {
		all = append(all, fmt.Sprintf("with an API key in `authorization: Bearer`, `%s: %s` is sent", strings.ToLower(s.WithBearer.Key), s.WithBearer.Value))
	}
	if s.IsSigned {
		all = append(all, fmt.Sprintf("if Portkey has the credential, the signature is not sent (`authorization`, `%s`)",
			strings.ToLower(strings.Join(SignatureHeaders(), "`, `"))))
	}
	return strings.Join(all, "; ")
}
