package portkey

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// SensitiveHeaders returns every header whose value is a secret, for others to
// redact: a proxy's log, or otelhttptrace.WithRedactedHeaders. x-portkey-config
// is one of them, since a config object may hold keys. The slice is the caller's.
func SensitiveHeaders() []string {
	return slices.Sorted(maps.Keys(sensitive))
}

var sensitive = func() map[string]bool {
	keys := make(map[string]bool)
	for _, p := range params {
		if p.secret || p.key == keyConfig {
			keys[p.key] = true
		}
	}
	for _, key := range credentialKeys {
		keys[key] = true
	}
	return keys
}()

// isCredential reports whether a header is one that must not go along when a
// redirect has left the gateway: what is secret here, and what net/http leaves out.
func isCredential(key string) bool {
	key = http.CanonicalHeaderKey(key)
	switch key {
	case "Cookie", "Cookie2", "Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate":
		return true
	}
	return sensitive[key]
}

const redacted = "[redacted]"

// A shown header is a name, and a value that can be printed.
type shown struct{ name, value string }

// show lists what a Headers, or one of its groups, sets. Of a value that could
// not be sent it shows only that, since it may be a secret in the wrong place.
func show(v any) (all []shown) {
	rv := reflect.ValueOf(v)
	for _, p := range paramsOf(rv.Type(), nil) {
		f := rv.FieldByIndex(p.index)
		if isSet(f) {
			all = append(all, shown{p.name, p.show(f)})
		}
	}
	if h, ok := v.(Headers); ok {
		for _, name := range slices.Sorted(maps.Keys(h.Extra)) {
			if nameFault(name) != "" {
				name = "[invalid]"
			}
			all = append(all, shown{strings.ToLower(name), redacted})
		}
	}
	return all
}

func (p param) show(f reflect.Value) string {
	if _, isSlug := f.Interface().(ConfigSlug); p.secret || p.key == keyConfig && !isSlug {
		return redacted
	}
	if m, ok := f.Interface().(Metadata); ok {
		if pairs, err := newMetadata(m); err == nil {
			return encodeMetadata(pairs)
		}
		return "[invalid]"
	}
	text, fault := encode(f)
	if _, err := newLine(p.key, text); fault != "" || err != nil {
		return "[invalid]"
	}
	return text
}

func format(w io.Writer, v any) {
	fmt.Fprintf(w, "%T{", v)
	for i, h := range show(v) {
		if i > 0 {
			io.WriteString(w, ", ")
		}
		io.WriteString(w, h.name+": "+strconv.Quote(h.value))
	}
	io.WriteString(w, "}")
}

func logValue(v any) slog.Value {
	var attrs []slog.Attr
	for _, h := range show(v) {
		attrs = append(attrs, slog.String(h.name, h.value))
	}
	return slog.GroupValue(attrs...)
}

func marshal(v any) ([]byte, error) {
	object := make(map[string]string)
	for _, h := range show(v) {
		object[h.name] = h.value
	}
	return json.Marshal(object)
}

// Format prints the headers that h sets, secrets redacted, whatever the verb.
func (h Headers) Format(s fmt.State, _ rune) { format(s, h) }

// LogValue is h with its secrets redacted.
func (h Headers) LogValue() slog.Value { return logValue(h) }

// MarshalJSON encodes the headers that h sets, secrets redacted.
func (h Headers) MarshalJSON() ([]byte, error) { return marshal(h) }

// Format prints a with its secrets redacted, whatever the verb.
func (a AWS) Format(s fmt.State, _ rune) { format(s, a) }

// LogValue is a with its secrets redacted.
func (a AWS) LogValue() slog.Value { return logValue(a) }

// MarshalJSON encodes a with its secrets redacted.
func (a AWS) MarshalJSON() ([]byte, error) { return marshal(a) }

// Format prints a with its secrets redacted, whatever the verb.
func (a Azure) Format(s fmt.State, _ rune) { format(s, a) }

// LogValue is a with its secrets redacted.
func (a Azure) LogValue() slog.Value { return logValue(a) }

// MarshalJSON encodes a with its secrets redacted.
func (a Azure) MarshalJSON() ([]byte, error) { return marshal(a) }

// Format prints o with its secrets redacted, whatever the verb.
func (o Oracle) Format(s fmt.State, _ rune) { format(s, o) }

// LogValue is o with its secrets redacted.
func (o Oracle) LogValue() slog.Value { return logValue(o) }

// MarshalJSON encodes o with its secrets redacted.
func (o Oracle) MarshalJSON() ([]byte, error) { return marshal(o) }

// Format prints v with its secrets redacted, whatever the verb.
func (v Vertex) Format(s fmt.State, _ rune) { format(s, v) }

// LogValue is v with its secrets redacted.
func (v Vertex) LogValue() slog.Value { return logValue(v) }

// MarshalJSON encodes v with its secrets redacted.
func (v Vertex) MarshalJSON() ([]byte, error) { return marshal(v) }

// Format prints c, unless it is a config object by mistake.
func (c ConfigSlug) Format(s fmt.State, _ rune) {
	if !c.isSlug() {
		io.WriteString(s, redacted)
		return
	}
	io.WriteString(s, strconv.Quote(string(c)))
}

// LogValue is c, unless it is a config object by mistake.
func (c ConfigSlug) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// String is what Format prints. A panic that nobody recovers is printed without
// fmt, and asks for no more than this.
func (c ConfigSlug) String() string { return fmt.Sprint(c) }

// MarshalJSON encodes c, unless it is a config object by mistake.
func (c ConfigSlug) MarshalJSON() ([]byte, error) {
	if !c.isSlug() {
		return json.Marshal(redacted)
	}
	return json.Marshal(string(c))
}

// Format prints no part of c, whatever the verb.
func (c ConfigJSON) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue is no part of c.
func (c ConfigJSON) LogValue() slog.Value { return slog.StringValue(redacted) }

// String is no part of c.
func (c ConfigJSON) String() string { return redacted }

// Format prints no part of c, whatever the verb.
func (c ConfigObject) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue is no part of c.
func (c ConfigObject) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints o with its secrets redacted, whatever the verb.
func (o Options) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "portkey.Options{BaseURL: %s, Headers: %v, Upstreams: [", showURL(o.BaseURL), o.Headers)
	for i, u := range o.Upstreams {
		if i > 0 {
			io.WriteString(s, ", ")
		}
		u.Format(s, 'v')
	}
	fmt.Fprintf(s, "], Filter: %t, NewTraceID: %t}", o.Filter != nil, o.NewTraceID != nil)
}

// LogValue is o with its secrets redacted.
func (o Options) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// Format prints u, without a password that BaseURL must not have.
func (u Upstream) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%q at %s", u.Provider, showURL(u.BaseURL))
}

// MarshalJSON encodes u as it is printed.
func (u Upstream) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(u)) }

// LogValue is u, without a password that BaseURL must not have.
func (u Upstream) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(u)) }

func showURL(text string) string {
	if _, fault := parseBaseURL(text); fault != "" && text != "" {
		return "[invalid]"
	}
	return strconv.Quote(text)
}

// Format prints where t sends requests, and the names of the headers it adds.
func (t Transport) Format(s fmt.State, _ rune) {
	if t.settings == nil {
		io.WriteString(s, "portkey.Transport{}")
		return
	}
	var names []string
	for _, l := range t.static.lines {
		names = append(names, strings.ToLower(l.key))
	}
	fmt.Fprintf(s, "portkey.Transport{gateway: %v, headers: %v}", t.gateway, names)
}
