package providers

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// A BaseURL is a base URL that the user adds to the table: see portkey.Upstream.
type BaseURL struct {
	URL        *url.URL // as ParseBaseURL returns it
	Provider   string   // "": the URL implies no provider
	CustomHost string   // "": URL, unless the gateway calls that by default or the provider is "" or a slug
}

// Implied is what the URL of a request implies.
type Implied struct {
	Provider string   // the gateway's name, or "@slug"; "": none
	Headers  []Header // further x-portkey-* headers
}

// A Header is a request header with a canonical key.
type Header struct{ Key, Value string }

const keyCustomHost = "X-Portkey-Custom-Host"

// A Table matches the URLs of requests with the base URLs of the known providers, and
// with those that are added. The zero Table has only the known ones. It is safe for
// concurrent use once no more are added.
type Table struct {
	upstreams map[hostKey]upstreamHost
	dialed    map[string]upstreamHost // by dialedHost, with paths in lower case
}

// A hostKey is the scheme and the canonical host of a base URL.
type hostKey struct{ scheme, host string }

// An upstreamHost holds the base URLs that were added for one host.
type upstreamHost struct {
	byPath  map[string]entry
	longest int // length of a path
}

// addUpstream adds an entry for a path to the host with the given key, unless there is one.
func addUpstream[K comparable](hosts map[K]upstreamHost, key K, path string, e entry) {
	host := hosts[key]
	if host.byPath == nil {
		host.byPath = make(map[string]entry)
	}
	if _, ok := host.byPath[path]; !ok {
		host.byPath[path] = e
	}
	host.longest = max(host.longest, len(path))
	hosts[key] = host
}

// Add adds a base URL. It takes precedence over the known ones, and the first one that
// is added over a second one with the same URL. Add returns an error if the gateway
// cannot call the URL.
func (t *Table) Add(u BaseURL) error {
	e, err := compileUpstream(u)
	if err != nil {
		return err
	}
	if t.upstreams == nil {
		t.upstreams, t.dialed = make(map[hostKey]upstreamHost), make(map[string]upstreamHost)
	}
	host := Host(u.URL.Scheme, u.URL.Host)
	addUpstream(t.upstreams, hostKey{u.URL.Scheme, host}, u.URL.Path, e)
	addUpstream(t.dialed, DialedHost(host), strings.ToLower(u.URL.Path), e)
	return nil
}

// find returns the entry with the longest path that is a prefix of path, and the rest of
// path. It looks at no prefix that is longer than the longest path.
func (h *upstreamHost) find(path string) (e entry, rest string, ok bool) {
	end := len(path)
	if end > h.longest {
		end = strings.LastIndexByte(path[:h.longest+1], '/')
	}
	for ; end >= 0; end = strings.LastIndexByte(path[:end], '/') {
		if e, ok := h.byPath[path[:end]]; ok {
			return e, path[end:], true
		}
	}
	return entry{}, "", false
}

// compileUpstream determines the custom host with which the gateway calls the URL that the
// client asked for.
func compileUpstream(u BaseURL) (entry, error) {
	e := entry{provider: u.Provider, customHost: u.CustomHost}
	if !isASCII(u.URL.Host) {
		return e, errors.New("has a host that is not ASCII: write it in Punycode")
	}
	if u.Provider == "" || strings.HasPrefix(u.Provider, "@") {
		return e, nil // the gateway decides what it calls
	}
	url := u.URL.Scheme + "://" + Host(u.URL.Scheme, u.URL.Host) + u.URL.Path
	var mismatch string // a suffix that url does not have
	known, fits := false, false
	for _, r := range rows {
		if r.provider != u.Provider || strings.Contains(r.url, "{") {
			continue
		}
		known = true
		if !strings.HasSuffix(url, r.suffix) {
			mismatch = r.suffix
		} else if fits = true; len(r.suffix) > len(e.suffix) {
			e.suffix = r.suffix
		}
	}
	if e.customHost != "" {
		return e, nil
	}
	if known && !fits {
		return e, fmt.Errorf("must end in %s for provider %s, or set CustomHost", mismatch, u.Provider)
	}
	if host := strings.TrimSuffix(url, e.suffix); !isDefault(u.Provider, host) {
		if _, err := ParseBaseURL(host); err != nil || len(host) > 2048 || !isASCII(host) {
			return e, errors.New("cannot be sent as a custom host: write it in ASCII, or set CustomHost")
		}
		e.customHost = host
	}
	return e, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return false
		}
	}
	return true
}

// isDefault reports whether the gateway calls a provider at base by default.
func isDefault(provider, base string) bool {
	return slices.ContainsFunc(rows, func(r row) bool {
		return r.provider == provider && !r.customHost && strings.TrimSuffix(r.url, r.suffix) == base
	})
}

// Lookup returns the endpoint that u names, as an escaped path below the
// gateway's base URL, and what u implies. If u is under several base URLs, the
// longest counts. It reports false if u is not part of a provider's API.
func (t *Table) Lookup(u *url.URL) (endpoint string, implied Implied, ok bool) {
	if u.User != nil || u.Opaque != "" || hasDotSegment(u.Path) {
		return "", Implied{}, false
	}
	host, path := Host(u.Scheme, u.Host), u.EscapedPath()
	if upstream, ok := t.upstreams[hostKey{u.Scheme, host}]; ok {
		if e, rest, ok := upstream.find(path); ok {
			endpoint, implied = e.imply(rest, Implied{})
			return endpoint, implied, true
		}
	}
	if endpoint, implied, ok = match(known[host], u, host, path); ok {
		return endpoint, implied, true
	}
	return match(known[domain(host)], u, host, path)
}

// hasDotSegment reports whether a path has a segment "." or "..", which could lead out
// of the base URL.
func hasDotSegment(path string) bool {
	if !strings.Contains(path, "/.") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// HasHost reports whether a host, with or without a port, is that of a base URL, in any
// spelling. The port of a known provider's host does not matter. It also reports true for
// a host that may be another one to net/http or to the resolver.
func (t *Table) HasHost(host string) bool {
	name := dialedName(host)
	if _, ok := t.dialed[DialedHost(host)]; ok || isAmbiguous(name) {
		return true
	}
	matches := func(e entry) bool {
		rest, ok := e.host.match(name, new(Implied))
		return ok && rest == ""
	}
	return slices.ContainsFunc(known[name], matches) || slices.ContainsFunc(known[domain(name)], matches)
}

// MayContain reports whether u may be part of a provider's API, by any scheme or
// spelling, even if the gateway cannot call it. On a provider's host, it reports false
// only for a plain path that is clearly below no base URL, or is a login endpoint.
func (t *Table) MayContain(u *url.URL) bool {
	if !t.HasHost(u.Host) {
		return false
	}
	name, path := dialedName(u.Host), strings.ToLower(u.Path)
	isPlain := u.Opaque == "" && (path == "" || path[0] == '/') && u.EscapedPath() == u.Path && !strings.Contains(path, "//") &&
		!strings.Contains(path, ";") && !hasDotSegment(path)
	if !isPlain || isAmbiguous(name) {
		return true
	}
	upstream := t.dialed[DialedHost(u.Host)]
	if _, _, ok := upstream.find(path); ok {
		return true
	}
	contains := func(e entry) bool {
		rest, ok := e.path.match(path, new(Implied)) // the paths of the table are in lower case
		return ok && isBelow(rest)
	}
	return !isLogin(path) &&
		(slices.ContainsFunc(known[name], contains) || slices.ContainsFunc(known[domain(name)], contains))
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

// dialedName returns the name or address that net/http dials for a host, in one spelling.
func dialedName(host string) string {
	name := strings.TrimRight(hostname(Host("", host)), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return name
}

// DialedHost returns the name or address that net/http dials for a host, in one spelling,
// with the port, if that is the default of neither http nor https.
func DialedHost(host string) string {
	port := strings.TrimLeft((&url.URL{Host: host}).Port(), "0")
	if port == "80" || port == "443" {
		port = ""
	}
	return dialedName(host) + ":" + port
}

// isAmbiguous reports whether a name may be another one to net/http, which maps a name
// that is not ASCII to one that is, or to a resolver, which may read 127.1 as an address.
func isAmbiguous(name string) bool {
	if !isASCII(name) {
		return true
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	isNumber := last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x"))
	_, err := netip.ParseAddr(name)
	return isNumber && err != nil
}

// isBelow reports whether rest, which follows a base URL, begins at a segment.
func isBelow(rest string) bool { return rest == "" || rest[0] == '/' }

// Explain returns why Lookup reports false for u, and how to mend it.
func (t *Table) Explain(u *url.URL) string {
	switch {
	case !isASCII(u.Host):
		return "its host is not ASCII and may be a provider's: write it in Punycode"
	case !t.HasHost(u.Host):
		return "its host is neither the gateway's nor a known provider's: " +
			"see Options.BaseURL, Upstreams, Filter and PassUnknownHosts"
	case u.User != nil:
		return "its URL contains credentials"
	case u.Opaque != "":
		return "its URL is opaque"
	case isLogin(u.Path):
		return "its path is a login or discovery endpoint, not part of the provider's API: see Options.Filter"
	}
	return "its host is a provider's, but it is not below a base URL that the gateway can call: " +
		"see Options.Upstreams and Filter"
}

// Find returns what is special about the clients of a provider, and whether the
// table has the provider.
func Find(provider string) (s Special, known bool) {
	s, known = specials[provider]
	return s, known
}

// QueryKeys returns the query parameters in which the clients of some providers send an
// API key.
func QueryKeys() []string { return queryKeys }

// ImpliedKeys returns the keys of the headers that a row of the table may imply.
func ImpliedKeys() []string { return impliedKeys }

// ReadsCredential reports whether the gateway, for this endpoint, reads the
// credential on the request and sends it in the form that the provider expects. For
// other endpoints it forwards the client's headers unchanged.
func ReadsCredential(endpoint string) bool {
	return translatedEndpoints[endpoint] || slices.ContainsFunc(routedEndpoints, func(routed string) bool {
		rest, ok := strings.CutPrefix(endpoint, routed)
		return ok && isBelow(rest)
	})
}

// An entry is a row of the table or a BaseURL, compiled for matching.
type entry struct {
	scheme         string
	host, path     pattern
	provider       string
	suffix         string
	customHost     string // "": the gateway's default
	translatedOnly bool
	special        *Special
}

var (
	known       = byHost(compile(rows)) // all rows, grouped
	specials    = make(map[string]Special)
	impliedKeys []string
	queryKeys   []string
)

func init() {
	for _, r := range rows {
		if _, ok := specials[r.provider]; !ok {
			specials[r.provider] = Special{}
			if r.special != nil {
				specials[r.provider] = *r.special
				impliedKeys = append(impliedKeys, r.special.TokenHeader, r.special.queryHeader)
				if r.special.KeyQuery != "" {
					queryKeys = append(queryKeys, r.special.KeyQuery)
				}
			}
		}
		_, names := compilePattern(r.url, "")
		impliedKeys = append(impliedKeys, names...)
	}
	impliedKeys = append(impliedKeys, keyCustomHost)
	slices.Sort(impliedKeys)
	impliedKeys = slices.DeleteFunc(slices.Compact(impliedKeys), func(key string) bool { return key == "" })
}

func compile(rows []row) []entry {
	compiled := make([]entry, len(rows))
	for i, r := range rows {
		scheme, rest, _ := strings.Cut(r.url, "://")
		slash := strings.IndexByte(rest+"/", '/')
		host, _ := compilePattern(rest[:slash], "./")
		path, _ := compilePattern(rest[slash:], "/")
		customHost := ""
		if r.customHost {
			customHost = strings.TrimSuffix(r.url, r.suffix)
		}
		compiled[i] = entry{scheme, host, path, r.provider, r.suffix, customHost, r.translatedOnly, r.special}
	}
	return compiled
}

// byHost groups entries by host, or by the part of the host after a {name}. In each
// group the longest path comes first.
func byHost(all []entry) map[string][]entry {
	slices.SortStableFunc(all, func(a, b entry) int { return b.path.length() - a.path.length() })
	groups := make(map[string][]entry)
	for _, b := range all {
		host := b.host.literal
		if n := len(b.host.placeholders); n > 0 {
			host = b.host.placeholders[n-1].literal
		}
		groups[host] = append(groups[host], b)
	}
	return groups
}

// domain returns the host without its first label: ".example.com" of "a.example.com".
func domain(host string) string {
	return host[max(0, strings.IndexByte(host, '.')):]
}

// match matches u, with its canonical host and its escaped path, with each base URL of
// a group.
func match(group []entry, u *url.URL, host, path string) (endpoint string, implied Implied, ok bool) {
	for i := range group {
		if endpoint, implied, ok = group[i].match(u, host, path); ok {
			return endpoint, implied, true
		}
	}
	return "", Implied{}, false
}

func (e *entry) match(u *url.URL, host, path string) (endpoint string, implied Implied, ok bool) {
	if u.Scheme != e.scheme {
		return "", implied, false
	}
	if rest, ok := e.host.match(host, &implied); !ok || rest != "" {
		return "", implied, false
	}
	rest, ok := e.path.match(path, &implied)
	if !ok || !isBelow(rest) {
		return "", implied, false
	}
	if !translatedEndpoints[rest] && (e.translatedOnly || isLogin(u.Path)) {
		return "", implied, false
	}
	endpoint, implied = e.imply(rest, implied)
	if s := e.special; s != nil && s.query != "" && ReadsCredential(endpoint) {
		if value := u.Query().Get(s.query); value != "" && strings.Trim(value, valueChars) == "" {
			implied.Headers = append(implied.Headers, Header{s.queryHeader, value})
		}
	}
	return endpoint, implied, true
}

// imply returns the endpoint at the gateway of a path below the base URL, and adds to
// implied what the base URL implies.
func (e *entry) imply(path string, implied Implied) (endpoint string, _ Implied) {
	implied.Provider = e.provider
	endpoint = path
	if !translatedEndpoints[path] {
		endpoint = expand(e.suffix, implied.Headers) + path
	}
	if e.customHost != "" {
		implied.Headers = append(implied.Headers, Header{keyCustomHost, e.customHost})
	}
	return endpoint, implied
}

// isLogin reports whether path is an OAuth or discovery endpoint rather than part
// of a provider's API. Some SDKs exchange credentials through the http.Client
// that they are given, and the gateway must not see them.
func isLogin(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ToLower(segment) {
		case "oauth", "oauth2", ".well-known":
			return true
		}
	}
	return false
}

// A pattern matches the start of a host or of an escaped path: a literal, then for
// each placeholder a value and another literal.
type pattern struct {
	literal      string
	placeholders []placeholder
}

// A placeholder is a {name}.
type placeholder struct {
	key     string // of the header that the value implies
	end     string // the characters that end the value
	literal string // follows the value
}

// compilePattern compiles text, in which a value ends at any character of end. It
// also returns the keys of the headers that the placeholders imply.
func compilePattern(text, end string) (p pattern, keys []string) {
	p.literal, text, _ = strings.Cut(text, "{")
	for text != "" {
		name, rest, _ := strings.Cut(text, "}")
		key := http.CanonicalHeaderKey("x-portkey-" + name)
		keys = append(keys, key)
		rest, text, _ = strings.Cut(rest, "{")
		p.placeholders = append(p.placeholders, placeholder{key, end, rest})
	}
	return p, keys
}

// length returns the length of the pattern, in characters of the row.
func (p *pattern) length() int {
	n := len(p.literal)
	for _, ph := range p.placeholders {
		n += len(ph.key) - len("X-Portkey-") + len("{}") + len(ph.literal)
	}
	return n
}

// valueChars are the characters that a value may have: the gateway inserts it into a
// URL without escaping it.
const valueChars = "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// match matches the start of text, adds the headers that the values imply to implied,
// and returns the rest of text.
func (p *pattern) match(text string, implied *Implied) (rest string, ok bool) {
	if text, ok = strings.CutPrefix(text, p.literal); !ok {
		return "", false
	}
	for _, ph := range p.placeholders {
		end := strings.IndexAny(text, ph.end)
		if end < 0 {
			end = len(text)
		}
		value := text[:end]
		if value == "" || value == "." || value == ".." || strings.Trim(value, valueChars) != "" {
			return "", false
		}
		implied.Headers = append(implied.Headers, Header{ph.key, value})
		if text, ok = strings.CutPrefix(text[end:], ph.literal); !ok {
			return "", false
		}
	}
	return text, true
}

// expand replaces each {name} in text by the value of the header that it implies,
// which must be in headers.
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
