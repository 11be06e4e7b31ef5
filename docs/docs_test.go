// Package docs_test checks the documents against the code: code blocks compile,
// and the paths, exported names and versions that documents mention exist.
package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	// TestCodeBlocksCompile runs "go list", whose result the test cache does not
	// track. These imports make a change to the packages invalidate the cache.
	_ "github.com/portkey-go/portkey"
	_ "github.com/portkey-go/portkey/portkeytest"
)

const repoRoot = ".."

// readDocuments returns the text of each document by its path from the
// repository's root.
func readDocuments(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repoRoot, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("found no documents in docs/")
	}
	for _, name := range []string{"README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		paths = append(paths, filepath.Join(repoRoot, name))
	}
	texts := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(repoRoot, path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(name)] = string(text)
	}
	return texts
}

// importPaths maps the package names that code blocks use to import paths.
var importPaths = map[string]string{
	"context":  "context",
	"errors":   "errors",
	"fmt":      "fmt",
	"http":     "net/http",
	"httputil": "net/http/httputil",
	"log":      "log",
	"net":      "net",
	"os":       "os",
	"slog":     "log/slog",
	"strings":  "strings",
	"time":     "time",
	"url":      "net/url",

	"openai":        "github.com/sashabaranov/go-openai",
	"portkey":       "github.com/portkey-go/portkey",
	"portkeytest":   "github.com/portkey-go/portkey/portkeytest",
	"retryablehttp": "github.com/hashicorp/go-retryablehttp",
}

var (
	codeBlock     = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	portkeyMember = regexp.MustCompile(`portkey\.([A-Z]\w*)`)
)

func TestCodeBlocksCompile(t *testing.T) {
	t.Parallel()
	packages := newImporter(t)
	for name, text := range readDocuments(t) {
		t.Run(name, func(t *testing.T) {
			var blocks []string
			for _, m := range codeBlock.FindAllStringSubmatch(text, -1) {
				if checkFormat(t, m[1]); strings.HasPrefix(m[1], "package ") {
					checkTypes(t, name, m[1], packages)
				} else {
					blocks = append(blocks, m[1])
				}
			}
			checkTypes(t, name, joinBlocks(blocks), packages)
		})
	}
}

func TestMentionedNamesAreExported(t *testing.T) {
	t.Parallel()
	portkey, err := newImporter(t).Import(importPaths["portkey"])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range readDocuments(t) {
		t.Run(name, func(t *testing.T) {
			// The prose names them too, so the code blocks are not enough.
			for _, m := range portkeyMember.FindAllStringSubmatch(text, -1) {
				if portkey.Scope().Lookup(m[1]) == nil {
					t.Errorf("portkey.%s does not exist", m[1])
				}
			}
		})
	}
}

// newImporter returns an importer of the compiled packages of importPaths.
func newImporter(t *testing.T) types.Importer {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	cmd := exec.Command("go", append(args, slices.Sorted(maps.Values(importPaths))...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	exportFiles := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exportFiles[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exportFiles[path])
	})
}

func checkFormat(t *testing.T, block string) {
	t.Helper()
	if formatted, err := format.Source([]byte(block)); err != nil {
		t.Errorf("%v in\n%s", err, block)
	} else if string(formatted) != block {
		t.Errorf("not formatted with gofmt:\n%s", block)
	}
}

func checkTypes(t *testing.T, name, source string, packages types.Importer) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, 0)
	if err != nil {
		t.Errorf("%v\n%s", err, source)
		return
	}
	config := types.Config{
		Importer: packages,
		Error: func(err error) {
			if !err.(types.Error).Soft { // soft: unused variables and imports
				t.Error(err)
			}
		},
	}
	config.Check("p", files, []*ast.File{file}, nil)
}

// joinBlocks joins the code blocks of a document, which have no imports, into one program,
// in which each block sees the declarations of the blocks before it.
func joinBlocks(blocks []string) string {
	declarations, body, end := "", "func _(ctx context.Context, req openai.ChatCompletionRequest) {\n", "}\n"
	for _, block := range blocks {
		if isDeclaration(block) {
			declarations += block
		} else {
			body, end = body+"{\n"+block, end+"}\n"
		}
	}
	code := declarations + body + end
	source := "package p\n"
	for _, pkg := range slices.Sorted(maps.Keys(importPaths)) {
		if strings.Contains(code, pkg+".") {
			source += fmt.Sprintf("import %s %q\n", pkg, importPaths[pkg])
		}
	}
	return source + code
}

func isDeclaration(block string) bool {
	return strings.HasPrefix(block, "type ") || strings.HasPrefix(block, "func ")
}

var (
	// relativeLink matches links and images, which are relative to the document.
	relativeLink = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)|src="([^":]+)"`)
	// goRunPath and quotedPath match paths that are relative to the repository's root.
	goRunPath  = regexp.MustCompile(`go (?:-C |run \./)([\w/-]+)`)
	quotedPath = regexp.MustCompile("`(\\.ci/[a-z]+|[\\w./-]+(?:\\.go|\\.md|/))`")
)

func TestMentionedPathsExist(t *testing.T) {
	t.Parallel()
	for name, text := range readDocuments(t) {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, m := range relativeLink.FindAllStringSubmatch(text, -1) {
				paths = append(paths, filepath.Join(filepath.Dir(name), m[1]+m[2]))
			}
			for _, re := range []*regexp.Regexp{goRunPath, quotedPath} {
				for _, m := range re.FindAllStringSubmatch(text, -1) {
					if isEndpoint := strings.HasPrefix(m[1], "/"); !isEndpoint {
						paths = append(paths, m[1])
					}
				}
			}
			for _, path := range paths {
				if _, err := os.Stat(filepath.Join(repoRoot, path)); err != nil {
					t.Errorf("%s does not exist: %v", path, err)
				}
			}
		})
	}
}

var gatewayVersion = regexp.MustCompile(`(?:gateway@|gateway \(|gateway |open source )([0-9]+\.[0-9]+\.[0-9]+)`)

func TestMentionedGatewayVersionIsTheTestedOne(t *testing.T) {
	t.Parallel()
	want := readManifest(t, "interop").Dependencies["@portkey-ai/gateway"]
	if want == "" {
		t.Fatal("interop/package.json does not require the gateway")
	}
	for name, text := range readDocuments(t) {
		t.Run(name, func(t *testing.T) {
			for _, m := range gatewayVersion.FindAllStringSubmatch(text, -1) {
				if got := m[1]; got != want {
					t.Errorf("got version %s of the gateway, want %s", got, want)
				}
			}
		})
	}
}

func TestSelfHostedGatewayIsTheTestedOne(t *testing.T) {
	t.Parallel()
	got, want := readManifest(t, "gateway"), readManifest(t, "interop")
	if got, want := got.Dependencies["@portkey-ai/gateway"], want.Dependencies["@portkey-ai/gateway"]; got != want {
		t.Errorf("gateway/package.json requires version %s of the gateway, want %s as in interop/", got, want)
	}
	if !maps.Equal(got.Overrides, want.Overrides) {
		t.Errorf("gateway/package.json overrides %v, want %v as in interop/", got.Overrides, want.Overrides)
	}
}

// A manifest is a package.json of npm.
type manifest struct{ Dependencies, Overrides map[string]string }

func readManifest(t *testing.T, dir string) (m manifest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot, dir, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDependabotKnowsEveryModule(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(filepath.Join(repoRoot, ".github", "dependabot.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var found int
	err = filepath.WalkDir(repoRoot, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "node_modules":
			return fs.SkipDir
		case entry.Name() != "go.mod" || filepath.Dir(path) == repoRoot:
			return nil
		}
		found++
		dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), repoRoot))
		if !strings.Contains(string(config), "- "+dir+"\n") {
			t.Errorf(".github/dependabot.yml does not list the module %s", dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("found no module besides the root")
	}
}
