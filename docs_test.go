package portkey_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are what a user reads, beside the doc comments.
func documents(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, name := range append(names, "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// What the code blocks import, and what is there before the first of them.
var (
	documentImports = map[string]string{
		"context": "context", "fmt": "fmt", "log": "log", "http": "net/http", "os": "os", "time": "time", "slog": "log/slog",
		"openai": "github.com/sashabaranov/go-openai", "portkey": "github.com/portkey-go/portkey",
		"portkeytest": "github.com/portkey-go/portkey/portkeytest", "retryablehttp": "github.com/hashicorp/go-retryablehttp",
	}
	codeBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
)

// program makes one program of a document's code blocks: each sees what those
// before it declare.
func program(blocks []string) string {
	declared, body, end := "", "func _(ctx context.Context, req openai.ChatCompletionRequest) {\n", "}\n"
	for _, block := range blocks {
		if isDeclaration(block) {
			declared += block
		} else {
			body, end = body+"{\n"+block, end+"}\n"
		}
	}
	return declared + body + end
}

func isDeclaration(block string) bool {
	return strings.HasPrefix(block, "type ") || strings.HasPrefix(block, "func ")
}

func TestCodeInDocumentsCompiles(t *testing.T) {
	t.Parallel()
	packages := newImporter(t)
	own, err := packages.Import(documentImports["portkey"])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range documents(t) {
		for _, m := range portkeyMember.FindAllStringSubmatch(text, -1) { // in the prose, too
			if own.Scope().Lookup(m[1]) == nil {
				t.Errorf("%s names portkey.%s, which there is not", name, m[1])
			}
		}
		var blocks []string
		for _, m := range codeBlock.FindAllStringSubmatch(text, -1) {
			blocks = append(blocks, m[1])
		}
		if len(blocks) > 0 {
			compile(t, name, blocks, packages)
		}
	}
}

// newImporter imports the packages that documents may import, as they are compiled.
func newImporter(t *testing.T) types.Importer {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}, slices.Sorted(maps.Values(documentImports))...)
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
}

func compile(t *testing.T, name string, blocks []string, packages types.Importer) {
	t.Helper()
	for i, block := range blocks {
		if formatted, err := format.Source([]byte(block)); err != nil {
			t.Errorf("%s, block %d: %v", name, i+1, err)
		} else if string(formatted) != block {
			t.Errorf("%s, block %d: not as gofmt has it", name, i+1)
		}
	}

	source := "package p\n"
	all := program(blocks)
	for _, local := range slices.Sorted(maps.Keys(documentImports)) {
		if strings.Contains(all, local+".") {
			source += fmt.Sprintf("import %s %q\n", local, documentImports[local])
		}
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source+all, 0)
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, source+all)
		return
	}
	config := types.Config{
		Importer: packages,
		Error: func(err error) {
			if !err.(types.Error).Soft { // such as a variable that is not used
				t.Errorf("%s: %v", name, err)
			}
		},
	}
	config.Check("p", files, []*ast.File{file}, nil)
}

var (
	relativeLink  = regexp.MustCompile(`\]\(([^)#:]+)\)|src="([^":]+)"`)
	goRun         = regexp.MustCompile(`go run (\./\S+)`)
	inBackquotes  = regexp.MustCompile("`([a-z_./-]+(?:\\.go|\\.md|/|\\.ci/[a-z]+))`")
	gatewayOnNpm  = regexp.MustCompile(`"?@portkey-ai/gateway"?[@:] ?"?([0-9.]+[0-9])`)
	portkeyMember = regexp.MustCompile(`portkey\.([A-Z]\w*)`)
)

func TestDocumentsNameWhatIsThere(t *testing.T) {
	t.Parallel()
	manifest, err := os.ReadFile("interop/package.json")
	if err != nil {
		t.Fatal(err)
	}
	version := gatewayOnNpm.FindStringSubmatch(string(manifest))[1]
	for name, text := range documents(t) {
		var paths []string
		for _, m := range relativeLink.FindAllStringSubmatch(text, -1) {
			paths = append(paths, filepath.Join(filepath.Dir(name), m[1]+m[2]))
		}
		for _, re := range []*regexp.Regexp{goRun, inBackquotes} {
			for _, m := range re.FindAllStringSubmatch(text, -1) {
				paths = append(paths, m[1])
			}
		}
		for _, path := range paths {
			if strings.HasPrefix(path, "/") {
				continue // an endpoint
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s names %s: %v", name, path, err)
			}
		}
		for _, m := range gatewayOnNpm.FindAllStringSubmatch(text, -1) {
			if m[1] != version {
				t.Errorf("%s names version %s of the gateway, want the tested %s", name, m[1], version)
			}
		}
	}
}
