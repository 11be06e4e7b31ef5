package providers

import (
	"errors"
	"fmt"
	"iter"
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
	IsAlias  bool     // the gateway calls another URL than the client
}

// A Header is a request header with a canonical key.
type Header struct{ Key, Value string }

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
	e := entry{provider: u.Provider}
	if !isASCII(u.URL.Host) {
		return e, errors.New("has a host that is not ASCII: write it in Punycode")
	}
	if u.CustomHost != "" {
		e.headers, e.isAlias = []Header{{customHost, u.CustomHost}}, true
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
	if u.CustomHost != "" {
		return e, nil
	}
	if known && !fits {
		return e, fmt.Errorf("must end in %s for provider %s, or set CustomHost", mismatch, u.Provider)
	}
	if host := strings.TrimSuffix(url, e.suffix); !isDefault(u.Provider, host) {
		if _, err := ParseBaseURL(host); err != nil || len(host) > 2048 || !isASCII(host) {
			return e, errors.New("cannot be sent as a custom host: write it in ASCII, or set CustomHost")
		}
		e.headers = []Header{{customHost, host}}
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
		return r.provider == provider && r.base == "" && r.implies.Key == "" && strings.TrimSuffix(r.url, r.suffix) == base
	})
}

// Lookup returns the endpoint that u names, as an escaped path below the
// gateway's base URL, and what u implies. If u is under several base URLs, the
// longest counts. It reports false if u is not part of a provider's API.
func (t *Table) Lookup(u *url.URL) (endpoint string, implied Implied, ok bool) {
	if u.User != nil || u.Opaque != "" || HasDotSegment(u.Path) {
		return "", Implied{}, false
	}
	host, path := Host(u.Scheme, u.Host), u.EscapedPath()
	if upstream, ok := t.upstreams[hostKey{u.Scheme, host}]; ok {
		if e, rest, ok := upstream.find(path); ok {
			return e.imply(rest, Implied{})
		}
	}
	for e, value := range known.rowsOf(host) {
		if endpoint, implied, ok = e.match(u, path, value); ok {
			return endpoint, implied, true
		}
	}
	return "", Implied{}, false
}

// HasEscapedLetter reports whether an escaped path has an escape for a character that needs
// none. No client writes one, and the gateway decodes it only in places.
func HasEscapedLetter(path string) bool {
	for {
		i := strings.IndexByte(path, '%')
		if i < 0 || i+3 > len(path) {
			return false
		}
		c, err := url.PathUnescape(path[i : i+3])
		if err == nil && strings.Trim(c, "~"+valueChars) == "" {
			return true
		}
		path = path[i+1:]
	}
}

// HasDotSegment reports whether a path has a segment "." or "..", which could lead out
// of the base URL.
func HasDotSegment(path string) bool {
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
	for range known.rowsOf(name) {
		return true
	}
	return false
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
		!strings.Contains(path, ";") && !HasDotSegment(path)
	if !isPlain || isAmbiguous(name) {
		return true
	}
	upstream := t.dialed[DialedHost(u.Host)]
	if _, _, ok := upstream.find(path); ok {
		return true
	}
	if isLogin(path) {
		return false
	}
	for e := range known.rowsOf(name) {
		rest, ok := e.path.match(path, new(Implied)) // the paths of the table are in lower case
		if ok && isBelow(rest) {
			return true
		}
	}
	return false
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

// SignatureHeaders returns the keys of the headers that belong to an AWS signature in
// Authorization.
func SignatureHeaders() []string {
	return []string{"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"}
}

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
	hostName       hostName
	path           pattern
	provider       string
	suffix         string
	headers        []Header // that it implies besides those of its names, which their values may contain
	translatedOnly bool
	isAlias        bool // its custom host is another URL
	special        *Special
}

// An index finds the rows of a host. Its cost does not depend on the number of rows.
type index struct {
	rows   map[hostParts][]*entry // in each group, the longest path comes first
	labels int                    // the number of labels, from the first one, that may contain a name
}

// hostParts is a host without the label that contains a name: "bedrock-runtime." and
// ".amazonaws.com" of bedrock-runtime.{aws-region}.amazonaws.com. If no label does,
// before is the whole host.
type hostParts struct{ before, after string }

// A hostName is the {name} that is a label of a host, or the start of one.
type hostName struct {
	key    string // of the header that the value implies; "": the host has no name
	after  string // the rest of the label
	except string // a value that is not matched
}

// value returns the value of the name in a label.
func (n *hostName) value(label string) (value string, ok bool) {
	value, ok = strings.CutSuffix(label, n.after)
	return value, ok && isValue(value)
}

// rowsOf yields the rows with a host, which must be canonical, and the value of the name
// in it.
func (x *index) rowsOf(host string) iter.Seq2[*entry, string] {
	return func(yield func(*entry, string) bool) {
		for _, e := range x.rows[hostParts{host, ""}] {
			if !yield(e, "") {
				return
			}
		}
		for start, i := 0, 0; i < x.labels && start < len(host); i++ {
			n := strings.IndexByte(host[start:], '.')
			if n < 0 {
				return // no host is a name only
			}
			end := start + n
			for _, e := range x.rows[hostParts{host[:start], host[end:]}] {
				if value, ok := e.hostName.value(host[start:end]); ok && !yield(e, value) {
					return
				}
			}
			start = end + 1
		}
	}
}

var (
	known       = newIndex(rows)
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
		impliedKeys = append(impliedKeys, r.base, r.implies.Key)
		impliedKeys = append(impliedKeys, compilePattern(r.url).keys()...)
	}
	impliedKeys = compactSorted(impliedKeys)
	queryKeys = compactSorted(queryKeys)
}

// compactSorted sorts keys and removes duplicates and "".
func compactSorted(keys []string) []string {
	slices.Sort(keys)
	return slices.DeleteFunc(slices.Compact(keys), func(key string) bool { return key == "" })
}

func newIndex(rows []row) *index {
	x := &index{rows: make(map[hostParts][]*entry)}
	for _, r := range rows {
		e, host := compile(r)
		x.rows[host] = append(x.rows[host], e)
		if e.hostName.key != "" {
			x.labels = max(x.labels, strings.Count(host.before, ".")+1)
		}
	}
	for _, group := range x.rows {
		slices.SortStableFunc(group, func(a, b *entry) int { return b.path.length() - a.path.length() })
	}
	return x
}

func compile(r row) (e *entry, host hostParts) {
	scheme, rest, _ := strings.Cut(r.url, "://")
	slash := strings.IndexByte(rest+"/", '/')
	e = &entry{
		scheme: scheme, path: compilePattern(rest[slash:]), provider: r.provider, suffix: r.suffix,
		translatedOnly: r.translatedOnly, special: r.special,
	}
	if r.implies.Key != "" {
		e.headers = append(e.headers, r.implies)
	}
	if r.base != "" {
		e.headers = append(e.headers, Header{r.base, strings.TrimSuffix(r.url, r.suffix)})
	}
	before, name, found := strings.Cut(rest[:slash], "{")
	if !found {
		return e, hostParts{before, ""}
	}
	name, after, _ := strings.Cut(name, "}")
	end := strings.IndexByte(after, '.')
	e.hostName = hostName{nameKey(name), after[:end], r.except}
	return e, hostParts{before, after[end:]}
}

// nameKey returns the key of the header that a {name} implies.
func nameKey(name string) string { return http.CanonicalHeaderKey("x-portkey-" + name) }

// match matches u, whose host is the row's, with its escaped path and the value of the
// name in its host.
func (e *entry) match(u *url.URL, path, value string) (endpoint string, implied Implied, ok bool) {
	if u.Scheme != e.scheme {
		return "", implied, false
	}
	if value != "" {
		if value == e.hostName.except {
			return "", implied, false
		}
		implied.Headers = append(implied.Headers, Header{e.hostName.key, value})
	}
	rest, ok := e.path.match(path, &implied)
	if !ok || !isBelow(rest) {
		return "", implied, false
	}
	if !translatedEndpoints[rest] && (e.translatedOnly || isLogin(u.Path)) {
		return "", implied, false
	}
	if endpoint, implied, ok = e.imply(rest, implied); !ok {
		return "", implied, false
	}
	if s := e.special; s != nil && s.query != "" && ReadsCredential(endpoint) {
		if value := u.Query().Get(s.query); value != "" && strings.Trim(value, valueChars) == "" {
			implied.Headers = append(implied.Headers, Header{s.queryHeader, value})
		}
	}
	return endpoint, implied, true
}

// imply returns the endpoint at the gateway of a path below the base URL, and adds to
// implied what the base URL implies. It reports false if the gateway would call another
// host.
func (e *entry) imply(path string, implied Implied) (endpoint string, _ Implied, ok bool) {
	implied.Provider, implied.IsAlias = e.provider, e.isAlias
	endpoint = path
	if !translatedEndpoints[path] {
		endpoint = expand(e.suffix, implied.Headers) + path
	}
	for _, h := range e.headers {
		if h.Key == customHost && IgnoresCustomHost(e.provider, endpoint) {
			return "", Implied{}, false
		}
		implied.Headers = append(implied.Headers, Header{h.Key, expand(h.Value, implied.Headers)})
	}
	return endpoint, implied, true
}

// IgnoresCustomHost reports whether the gateway ignores the custom host for an endpoint, an
// escaped path: it calls the provider's default host for OpenAI's Realtime API, for the
// output of a batch, and for files of some providers. An unknown provider may be one of
// those. See TestGatewayIgnoresSomeCustomHosts in interop/.
func IgnoresCustomHost(provider, endpoint string) bool {
	path := endpoint
	if strings.Contains(path, "%") {
		var err error
		if path, err = url.PathUnescape(path); err != nil {
			return true
		}
	}
	_, isBatch := strings.CutPrefix(path, "/batches/")
	file, isFile := strings.CutPrefix(path, "/files")
	if path == "/realtime" || isBatch && strings.HasSuffix(path, "/output") {
		return true
	}
	if !isFile || !isBelow(file) {
		return false
	}
	_, isKnown := Find(provider)
	return !isKnown || provider == "bedrock" || provider == "fireworks-ai" || provider == "vertex-ai"
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

// A pattern matches the start of an escaped path: a literal, then for each placeholder a
// value and another literal.
type pattern struct {
	literal      string
	placeholders []placeholder
}

// A placeholder is a {name}.
type placeholder struct {
	key     string // of the header that the value implies
	literal string // follows the value
}

func compilePattern(text string) (p pattern) {
	p.literal, text, _ = strings.Cut(text, "{")
	for text != "" {
		name, rest, _ := strings.Cut(text, "}")
		rest, text, _ = strings.Cut(rest, "{")
		p.placeholders = append(p.placeholders, placeholder{nameKey(name), rest})
	}
	return p
}

// keys returns the keys of the headers that the placeholders imply.
func (p pattern) keys() (keys []string) {
	for _, ph := range p.placeholders {
		keys = append(keys, ph.key)
	}
	return keys
}

// length returns the length of the pattern, in characters of the row.
func (p *pattern) length() int {
	n := len(p.literal)
	for _, ph := range p.placeholders {
		n += len(ph.key) - len("X-Portkey-") + len("{}") + len(ph.literal)
	}
	return n
}

// match matches the start of text, adds the headers that the values imply to implied,
// and returns the rest of text.
func (p *pattern) match(text string, implied *Implied) (rest string, ok bool) {
	if text, ok = strings.CutPrefix(text, p.literal); !ok {
		return "", false
	}
	for _, ph := range p.placeholders {
		value := text
		if end := strings.IndexByte(text, '/'); end >= 0 {
			value = text[:end]
		}
		if !isValue(value) {
			return "", false
		}
		implied.Headers = append(implied.Headers, Header{ph.key, value})
		if text, ok = strings.CutPrefix(text[len(value):], ph.literal); !ok {
			return "", false
		}
	}
	return text, true
}

// valueChars are the characters that a value may have: the gateway inserts it into a
// URL without escaping it.
const valueChars = "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// isValue reports whether text can be the value of a name.
func isValue(text string) bool {
	return text != "" && text != "." && text != ".." && strings.Trim(text, valueChars) == ""
}

// expand replaces each {name} in text by the value of the header that it implies,
// which must be in headers.
func expand(text string, headers []Header) string {
	literal, rest, found := strings.Cut(text, "{")
	if !found {
		return text
	}
	name, rest, _ := strings.Cut(rest, "}")
	i := slices.IndexFunc(headers, func(h Header) bool { return h.Key == nameKey(name) })
	return literal + headers[i].Value + expand(rest, headers)
}
