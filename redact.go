package portkey

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/portkey-go/portkey/internal/providers"
)

// SecretHeaders returns the canonical keys of all headers whose values are secret,
// for redaction elsewhere: in the log of a proxy, or by otelhttptrace's
// WithRedactedHeaders. x-portkey-config is one of them, because a config object may
// contain keys. Headers.SensitiveHeaders is not related: it tells Portkey what to
// mask in its logs. The caller may change the slice.
func SecretHeaders() []string {
	return slices.Sorted(maps.Keys(secretKeys))
}

var secretKeys = func() map[string]bool {
	keys := make(map[string]bool)
	for _, p := range parameters {
		if p.secret {
			keys[p.key] = true
		}
	}
	for _, key := range credentialKeys {
		keys[key] = true
	}
	return keys
}()

const (
	redacted = "[redacted]"
	invalid  = "[invalid]" // may be a secret in the wrong field
)

// A printedHeader is a header whose value may be printed.
type printedHeader struct{ name, value string }

// printedHeaders returns the headers that a Headers, or one of its groups, sets.
func printedHeaders(v any) (all []printedHeader) {
	rv := reflect.ValueOf(v)
	for _, p := range parametersOf(rv.Type(), nil) {
		f := rv.FieldByIndex(p.index)
		if isSet(f) {
			all = append(all, printedHeader{p.name, p.printedValue(f)})
		}
	}
	if h, ok := v.(Headers); ok {
		for _, name := range slices.Sorted(maps.Keys(h.Extra)) {
			if checkName(name) != nil {
				name = invalid
			}
			all = append(all, printedHeader{strings.ToLower(name), redacted})
		}
	}
	return all
}

func (p *parameter) printedValue(f reflect.Value) string {
	switch v := f.Interface().(type) {
	case Metadata:
		pairs, err := newMetadata(v)
		if err != nil {
			return invalid
		}
		return encodeMetadata(pairs)
	case ConfigSlug:
		if field, err := v.encode(); err == nil {
			return field.value
		}
		return invalid
	}
	if p.secret {
		return redacted
	}
	text := fieldText(f)
	if hasURLSecret(text) {
		return redacted
	}
	if _, err := newHeaderField(p.key, text); err != nil {
		return invalid
	}
	return text
}

// hasURLSecret reports whether text is a URL with a password or a query, which may hold a
// token.
func hasURLSecret(text string) bool {
	u, err := url.Parse(text)
	return strings.Contains(text, "://") && (err != nil || u.User != nil || u.RawQuery != "")
}

// formatHeaders, logHeaders and marshalHeaders print a Headers or one of its groups.
func formatHeaders(w io.Writer, v any) {
	fmt.Fprintf(w, "%T{", v)
	for i, h := range printedHeaders(v) {
		if i > 0 {
			io.WriteString(w, ", ")
		}
		io.WriteString(w, h.name+": "+strconv.Quote(h.value))
	}
	io.WriteString(w, "}")
}

func logHeaders(v any) slog.Value {
	var attrs []slog.Attr
	for _, h := range printedHeaders(v) {
		attrs = append(attrs, slog.String(h.name, h.value))
	}
	return slog.GroupValue(attrs...)
}

func marshalHeaders(v any) ([]byte, error) {
	object := make(map[string]string)
	for _, h := range printedHeaders(v) {
		object[h.name] = h.value
	}
	return json.Marshal(object)
}

// Format prints the headers that h sets, with secrets redacted, for any verb.
func (h Headers) Format(s fmt.State, _ rune) { formatHeaders(s, h) }

// LogValue returns h with its secrets redacted.
func (h Headers) LogValue() slog.Value { return logHeaders(h) }

// MarshalJSON encodes the headers that h sets, with secrets redacted.
func (h Headers) MarshalJSON() ([]byte, error) { return marshalHeaders(h) }

// MarshalText returns what Format prints, for YAML, TOML and XML.
func (h Headers) MarshalText() ([]byte, error) { return fmt.Append(nil, h), nil }

// Format prints a with its secrets redacted, for any verb.
func (a AWS) Format(s fmt.State, _ rune) { formatHeaders(s, a) }

// LogValue returns a with its secrets redacted.
func (a AWS) LogValue() slog.Value { return logHeaders(a) }

// MarshalJSON encodes a with its secrets redacted.
func (a AWS) MarshalJSON() ([]byte, error) { return marshalHeaders(a) }

// MarshalText returns what Format prints, for YAML, TOML and XML.
func (a AWS) MarshalText() ([]byte, error) { return fmt.Append(nil, a), nil }

// Format prints a with its secrets redacted, for any verb.
func (a Azure) Format(s fmt.State, _ rune) { formatHeaders(s, a) }

// LogValue returns a with its secrets redacted.
func (a Azure) LogValue() slog.Value { return logHeaders(a) }

// MarshalJSON encodes a with its secrets redacted.
func (a Azure) MarshalJSON() ([]byte, error) { return marshalHeaders(a) }

// MarshalText returns what Format prints, for YAML, TOML and XML.
func (a Azure) MarshalText() ([]byte, error) { return fmt.Append(nil, a), nil }

// Format prints o with its secrets redacted, for any verb.
func (o Oracle) Format(s fmt.State, _ rune) { formatHeaders(s, o) }

// LogValue returns o with its secrets redacted.
func (o Oracle) LogValue() slog.Value { return logHeaders(o) }

// MarshalJSON encodes o with its secrets redacted.
func (o Oracle) MarshalJSON() ([]byte, error) { return marshalHeaders(o) }

// MarshalText returns what Format prints, for YAML, TOML and XML.
func (o Oracle) MarshalText() ([]byte, error) { return fmt.Append(nil, o), nil }

// Format prints v with its secrets redacted, for any verb.
func (v Vertex) Format(s fmt.State, _ rune) { formatHeaders(s, v) }

// LogValue returns v with its secrets redacted.
func (v Vertex) LogValue() slog.Value { return logHeaders(v) }

// MarshalJSON encodes v with its secrets redacted.
func (v Vertex) MarshalJSON() ([]byte, error) { return marshalHeaders(v) }

// MarshalText returns what Format prints, for YAML, TOML and XML.
func (v Vertex) MarshalText() ([]byte, error) { return fmt.Append(nil, v), nil }

// Format prints c, for any verb. It prints a placeholder if c looks like a config object.
func (c ConfigSlug) Format(s fmt.State, _ rune) {
	if !c.isSlug() {
		io.WriteString(s, redacted)
		return
	}
	io.WriteString(s, strconv.Quote(string(c)))
}

// LogValue returns c, or a placeholder if c looks like a config object.
func (c ConfigSlug) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// String returns what Format prints. The runtime calls it, and no other method, to
// print a panic that is not recovered.
func (c ConfigSlug) String() string { return fmt.Sprint(c) }

// MarshalText returns c, or a placeholder if c looks like a config object. It is used
// for JSON as well.
func (c ConfigSlug) MarshalText() ([]byte, error) {
	if !c.isSlug() {
		return []byte(redacted), nil
	}
	return []byte(c), nil
}

// Format prints a placeholder, for any verb.
func (c ConfigJSON) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue returns a placeholder.
func (c ConfigJSON) LogValue() slog.Value { return slog.StringValue(redacted) }

// String returns a placeholder.
func (c ConfigJSON) String() string { return redacted }

// MarshalText returns a placeholder. JSON is encoded by MarshalJSON, which does not.
func (c ConfigJSON) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints a placeholder, for any verb.
func (c ConfigObject) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue returns a placeholder.
func (c ConfigObject) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder. JSON is encoded by MarshalJSON, which does not.
func (c ConfigObject) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints o with its secrets redacted, for any verb.
func (o Options) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "portkey.Options{BaseURL: %s, Headers: %v, Upstreams: [", printedURL(o.BaseURL), o.Headers)
	for i, u := range o.Upstreams {
		if i > 0 {
			io.WriteString(s, ", ")
		}
		u.Format(s, 'v')
	}
	slugs := fmt.Sprint(o.ProviderSlugs)
	if checkProviderSlugs(o.ProviderSlugs) != nil {
		slugs = invalid
	}
	fmt.Fprintf(s, "], ProviderSlugs: %s, APIKeySource: %t, Filter: %t, NewTraceID: %t}",
		slugs, o.APIKeySource != nil, o.Filter != nil, o.NewTraceID != nil)
}

// LogValue returns o with its secrets redacted.
func (o Options) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// MarshalText returns what Format prints, for JSON, YAML, TOML and XML.
func (o Options) MarshalText() ([]byte, error) { return fmt.Append(nil, o), nil }

// Format prints u, for any verb. It prints a placeholder for a BaseURL that is invalid.
func (u Upstream) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%q at %s", u.Provider, printedURL(u.BaseURL))
	if u.CustomHost != "" {
		io.WriteString(s, ", called at "+printedURL(u.CustomHost))
	}
}

// MarshalText returns what Format prints, for JSON, YAML, TOML and XML.
func (u Upstream) MarshalText() ([]byte, error) { return fmt.Append(nil, u), nil }

// LogValue returns u as Format prints it.
func (u Upstream) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(u)) }

// printedURL returns a base URL, or a placeholder if it is invalid: it may contain
// a password.
func printedURL(text string) string {
	if _, err := providers.ParseBaseURL(text); err != nil && text != "" {
		return invalid
	}
	return strconv.Quote(text)
}

// Format prints the gateway's base URL and the names of the headers in Options.
func (t Transport) Format(s fmt.State, _ rune) {
	if t.settings == nil {
		io.WriteString(s, "portkey.Transport{}")
		return
	}
	var names []string
	for _, f := range t.defaults.fields {
		names = append(names, strings.ToLower(f.key))
	}
	fmt.Fprintf(s, "portkey.Transport{gateway: %v, headers: %v}", t.gateway.url, names)
}

// MarshalText returns what Format prints, for JSON, YAML, TOML and XML.
func (t Transport) MarshalText() ([]byte, error) { return fmt.Append(nil, t), nil }
