package providers

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A BaseURL is a base URL that the table does not have.
type BaseURL struct {
	URL      *url.URL // as ParseBaseURL returns it
	Provider string   // "": the URL implies no provider
}

// Implied is what the URL of a request implies.
type Implied struct {
	Provider string   // the gateway's name, or "@slug"; "": none
	Headers  []Header // further x-portkey-* headers
}

// A Header is a request header with a canonical key.
type Header struct{ Key, Value string }

// A Table matches the URLs of requests. It is immutable and safe for concurrent use.
type Table struct {
	own map[location]baseURL
}

// A location is a base URL without {names}.
type location struct{ scheme, host, path string }

// NewTable returns a Table of the known providers and of own, which takes
// precedence. If two of own have the same URL, the first one counts.
func NewTable(own []BaseURL) *Table {
	t := &Table{make(map[location]baseURL, len(own))}
	for _, o := range own {
		at := location{o.URL.Scheme, o.URL.Host, o.URL.Path}
		if _, ok := t.own[at]; !ok {
			t.own[at] = baseURL{provider: o.Provider, suffix: suffixOf(o.Provider)}
		}
	}
	return t
}

// Lookup returns the endpoint that u names, as an escaped path below the
// gateway's base URL, and what u implies. If u is under several base URLs, the
// longest counts. It reports false if u is not part of a provider's API.
func (t *Table) Lookup(u *url.URL) (endpoint string, implied Implied, ok bool) {
	if u.User != nil || u.Opaque != "" {
		return "", Implied{}, false
	}
	path := u.EscapedPath()
	if len(t.own) > 0 {
		for end := len(path); end >= 0; end = strings.LastIndexByte(path[:end], '/') {
			if b, ok := t.own[location{u.Scheme, u.Host, path[:end]}]; ok {
				return b.endpoint(path[end:], nil), Implied{Provider: b.provider}, true
			}
		}
	}
	if endpoint, implied, ok = match(known[u.Host], u, path); ok {
		return endpoint, implied, true
	}
	return match(known[domain(u.Host)], u, path)
}

// Find returns what is special about the clients of a provider, and whether the
// table has the provider.
func Find(provider string) (s Special, known bool) {
	s, known = specials[provider]
	return s, known
}

// HasKey reports whether a query holds an API key, as the clients of some provider
// send it.
func HasKey(query url.Values) bool {
	for _, s := range specials {
		if s.KeyQuery != "" && query.Has(s.KeyQuery) {
			return true
		}
	}
	return false
}

// ImpliedKeys returns the keys of the headers that a row of the table may imply.
func ImpliedKeys() []string { return impliedKeys }

// ReadsCredential reports whether the gateway reads the provider's credential
// from a request for this endpoint and sends one that it made from it. For other
// endpoints it forwards the client's headers unchanged.
func ReadsCredential(endpoint string) bool {
	return translatedEndpoints[endpoint] || slices.ContainsFunc(routedEndpoints, func(routed string) bool {
		rest, ok := strings.CutPrefix(endpoint, routed)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// A baseURL is a row of the table, compiled, or a BaseURL.
type baseURL struct {
	scheme         string
	host, path     pattern
	provider       string
	suffix         string
	translatedOnly bool
	special        *Special
}

var (
	known       = byHost(compile(rows)) // all rows, grouped
	specials    = make(map[string]Special)
	impliedKeys []string
)

func init() {
	for _, r := range rows {
		if _, ok := specials[r.provider]; !ok {
			specials[r.provider] = Special{}
			if r.special != nil {
				specials[r.provider] = *r.special
				impliedKeys = append(impliedKeys, r.special.TokenHeader, r.special.queryHeader)
			}
		}
		_, names := compilePattern(r.url, "")
		impliedKeys = append(impliedKeys, names...)
	}
	slices.Sort(impliedKeys)
	impliedKeys = slices.DeleteFunc(slices.Compact(impliedKeys), func(key string) bool { return key == "" })
}

func compile(rows []row) []baseURL {
	compiled := make([]baseURL, len(rows))
	for i, r := range rows {
		scheme, rest, _ := strings.Cut(r.url, "://")
		slash := strings.IndexByte(rest+"/", '/')
		host, _ := compilePattern(rest[:slash], "./")
		path, _ := compilePattern(rest[slash:], "/")
		compiled[i] = baseURL{scheme, host, path, r.provider, r.suffix, r.translatedOnly, r.special}
	}
	return compiled
}

// byHost groups base URLs by host, or by the domain behind a {name}. In each
// group the longest path comes first.
func byHost(all []baseURL) map[string][]baseURL {
	slices.SortStableFunc(all, func(a, b baseURL) int { return b.path.length() - a.path.length() })
	groups := make(map[string][]baseURL)
	for _, b := range all {
		host := b.host.literal
		if n := len(b.host.names); n > 0 {
			host = b.host.names[n-1].literal
		}
		groups[host] = append(groups[host], b)
	}
	return groups
}

// domain returns the host without its first label: ".example.com" of "a.example.com".
func domain(host string) string {
	return host[max(0, strings.IndexByte(host, '.')):]
}

// suffixOf returns the suffix of the provider's first row whose suffix has no {name}.
func suffixOf(provider string) string {
	for _, r := range rows {
		if r.provider == provider && !strings.Contains(r.suffix, "{") {
			return r.suffix
		}
	}
	return ""
}

// match matches u, whose escaped path is path, with each base URL of a group.
func match(group []baseURL, u *url.URL, path string) (endpoint string, implied Implied, ok bool) {
	for i := range group {
		if endpoint, implied, ok = group[i].match(u, path); ok {
			return endpoint, implied, true
		}
	}
	return "", Implied{}, false
}

func (b *baseURL) match(u *url.URL, path string) (endpoint string, implied Implied, ok bool) {
	if u.Scheme != b.scheme {
		return "", implied, false
	}
	if rest, ok := b.host.match(u.Host, &implied); !ok || rest != "" {
		return "", implied, false
	}
	rest, ok := b.path.match(path, &implied)
	if !ok || rest != "" && rest[0] != '/' {
		return "", implied, false
	}
	if !translatedEndpoints[rest] && (b.translatedOnly || isLogin(u.Path)) {
		return "", implied, false
	}
	implied.Provider = b.provider
	endpoint = b.endpoint(rest, implied.Headers)
	if s := b.special; s != nil && s.query != "" && ReadsCredential(endpoint) {
		if value := u.Query().Get(s.query); value != "" {
			implied.Headers = append(implied.Headers, Header{s.queryHeader, value})
		}
	}
	return endpoint, implied, true
}

// endpoint returns the path at the gateway for a path below the base URL.
func (b *baseURL) endpoint(path string, values []Header) string {
	if translatedEndpoints[path] {
		return path
	}
	return expand(b.suffix, values) + path
}

// isLogin reports whether path is an OAuth or discovery endpoint rather than part
// of a provider's API. Some SDKs exchange credentials through the http.Client
// that they are given, and the gateway must not see those.
func isLogin(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ToLower(segment) {
		case "oauth", "oauth2", ".well-known":
			return true
		}
	}
	return false
}

// A pattern matches the start of a host or of an escaped path: a literal, then
// for each {name} a value and another literal.
type pattern struct {
	literal string
	names   []named
}

type named struct {
	key     string // of the header that the value implies
	end     string // the characters that end the value
	literal string // what follows the value
}

// compilePattern compiles text, in which a value ends at the characters of end.
// It also returns the keys of the headers that the names imply.
func compilePattern(text, end string) (p pattern, keys []string) {
	p.literal, text, _ = strings.Cut(text, "{")
	for text != "" {
		name, rest, _ := strings.Cut(text, "}")
		key := http.CanonicalHeaderKey("x-portkey-" + name)
		keys = append(keys, key)
		rest, text, _ = strings.Cut(rest, "{")
		p.names = append(p.names, named{key, end, rest})
	}
	return p, keys
}

// length returns the length of the pattern, in characters of the row.
func (p *pattern) length() int {
	n := len(p.literal)
	for _, name := range p.names {
		n += len(name.key) - len("X-Portkey-") + len("{}") + len(name.literal)
	}
	return n
}

// valueChars are the characters of a value. The gateway puts it into a URL unescaped.
const valueChars = "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// match matches the start of text, adds the values to implied, and returns the
// rest of text.
func (p *pattern) match(text string, implied *Implied) (rest string, ok bool) {
	if text, ok = strings.CutPrefix(text, p.literal); !ok {
		return "", false
	}
	for _, n := range p.names {
		end := strings.IndexAny(text, n.end)
		if end < 0 {
			end = len(text)
		}
		value := text[:end]
		if value == "" || strings.Trim(value, valueChars) != "" {
			return "", false
		}
		implied.Headers = append(implied.Headers, Header{n.key, value})
		if text, ok = strings.CutPrefix(text[end:], n.literal); !ok {
			return "", false
		}
	}
	return text, true
}

// expand replaces each {name} in text by its value.
func expand(text string, headers []Header) string {
	literal, rest, found := strings.Cut(text, "{")
	if !found {
		return text
	}
	name, rest, _ := strings.Cut(rest, "}")
	key := http.CanonicalHeaderKey("x-portkey-" + name)
	i := slices.IndexFunc(headers, func(h Header) bool { return h.Key == key })
	return literal + headers[i].Value + expand(rest, headers)
}
