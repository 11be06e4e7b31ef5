package portkey

import (
	"cmp"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portkey-go/portkey/internal/providers"
)

// A headerBuilder builds the header of one request to the gateway. Headers are
// added in order of precedence; an existing header is never replaced.
type headerBuilder struct {
	ignoreRequest bool // Options.IgnoreRequestHeaders

	header http.Header
	values []string // backs the values in header
	size   int      // of header, in bytes

	clientCredentials     credentials // from the request
	configuredCredentials credentials // from its context or from Options
	traceparent           string      // of the request

	// portkeyHasCredential reports whether Portkey certainly uses a credential of
	// its own. Then the client's is not sent.
	portkeyHasCredential bool
}

// credentials are the values of the headers in credentialKeys.
type credentials [len(credentialKeys)]string

// build builds the header of a request that takes the route r. newTraceID is
// called if nothing else determines the trace ID.
func (b *headerBuilder) build(req http.Header, context, defaults *headerSet, r *route, newTraceID func() string) error {
	var request headerSet
	levels := [...]*headerSet{&request, context, defaults} // highest precedence first
	b.allocate(len(req), levels[:], r.implied)
	if err := b.copyRequestHeader(req, &request, levels[1:]); err != nil {
		return err
	}
	for i, level := range levels {
		b.addLevel(level, levels[:i])
	}
	b.addImplied(r.implied)
	b.set(keyMetadata, encodeMetadata(request.metadata, context.metadata, defaults.metadata))
	override, _ := context.get(keyAuthorization)
	if b.ignoreRequest && override.value == "" {
		override, _ = defaults.get(keyAuthorization)
	}
	b.addCredentials(r, override.value)
	if err := b.addTraceID(cmp.Or(request.traceID, context.traceID, defaults.traceID), newTraceID); err != nil {
		return err
	}
	if b.size > maxHeaderBytes {
		return checkSize(b.all)
	}
	return nil
}

// allocate makes room for all headers, n of which are the request's. It expects
// an exact number in the common cases: a map that is larger than necessary, or
// grows, costs as much as the rest of build.
func (b *headerBuilder) allocate(n int, levels []*headerSet, implied providers.Implied) {
	hasMetadata, setsProvider := false, implied.Provider == ""
	for _, level := range levels {
		n += len(level.fields)
		hasMetadata = hasMetadata || len(level.metadata) > 0
		setsProvider = setsProvider || level.setsProvider
	}
	n++ // the trace ID
	if hasMetadata {
		n++
	}
	if !setsProvider {
		n += 1 + len(implied.Headers)
	}
	b.header, b.values = make(http.Header, n), make([]string, 0, n)
}

// all yields all headers.
func (b *headerBuilder) all(yield func(key, value string) bool) {
	for key, values := range b.header {
		for _, v := range values {
			if !yield(key, v) {
				return
			}
		}
	}
}

func (b *headerBuilder) has(key string) bool { _, ok := b.header[key]; return ok }

// get is Header.Get for a canonical key.
func (b *headerBuilder) get(key string) string {
	if values := b.header[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// set adds a header with one value; "" is not sent.
func (b *headerBuilder) set(key, value string) {
	if value != "" {
		b.setEmpty(key, value)
	}
}

// setEmpty adds a header with one value, which may be "".
func (b *headerBuilder) setEmpty(key, value string) {
	n := len(b.values)
	b.values = append(b.values, value)
	b.header[key] = b.values[n : n+1 : n+1]
	b.size += fieldSize(key, value)
}

// copyRequestHeader copies the header h of the request. It adds the x-portkey-*
// headers to request instead, unless they are ignored, with one value and one spelling
// each, and keeps the credentials for addCredentials. It does the same with any other header
// that a level sets, if its spelling or number of values is unusual: two spellings
// of a header would be sent as two.
func (b *headerBuilder) copyRequestHeader(h http.Header, request *headerSet, levels []*headerSet) error {
	var unusual []requestHeader
	for key, values := range h {
		if b.ignoreRequest && isPortkey(key) {
			continue
		}
		canonical := key
		if !isCanonical(key) {
			canonical = http.CanonicalHeaderKey(key)
		}
		isUsual := canonical == key && len(values) == 1 && values[0] != ""
		if isPortkey(key) || !isUsual && isKnown(canonical, levels) {
			unusual = append(unusual, requestHeader{canonical, key, values})
			continue
		}
		if canonical == keyTraceparent && len(values) == 1 {
			b.traceparent = values[0]
		}
		if i := credentialIndex(key); i >= 0 {
			b.clientCredentials[i] = values[0]
		} else {
			b.copyValues(key, values)
		}
	}
	slices.SortFunc(unusual, compareRequestHeaders)
	for len(unusual) > 0 {
		n := 1
		for n < len(unusual) && unusual[n].canonical == unusual[0].canonical {
			n++
		}
		if err := b.addRequestHeader(request, unusual[:n]); err != nil {
			return err
		}
		unusual = unusual[n:]
	}
	return nil
}

// copyValues copies the values of a header: the base may change its request, but
// not the caller's.
func (b *headerBuilder) copyValues(key string, values []string) {
	switch len(values) {
	case 0: // nil, too, has a meaning: net/http then sends no User-Agent
		b.header[key] = values[:0:0]
		return
	case 1:
		b.setEmpty(key, values[0])
		return
	}
	n := len(b.values)
	b.values = append(b.values, values...)
	b.header[key] = b.values[n:len(b.values):len(b.values)]
	for _, v := range values {
		b.size += fieldSize(key, v)
	}
}

// A requestHeader is one spelling of a header of the request.
type requestHeader struct {
	canonical, spelling string
	values              []string
}

func compareRequestHeaders(x, y requestHeader) int {
	return cmp.Or(strings.Compare(x.canonical, y.canonical), strings.Compare(x.spelling, y.spelling))
}

// isKnown reports whether a header of the request may have one spelling only: it
// has a parameter or may hold a credential, or a level sets it.
func isKnown(key string, levels []*headerSet) bool {
	return parametersByKey[key] != nil || credentialIndex(key) >= 0 || anyHas(levels, key)
}

// addRequestHeader adds one header of the request, given in all its spellings.
func (b *headerBuilder) addRequestHeader(request *headerSet, spellings []requestHeader) error {
	key := spellings[0].canonical
	var values []string
	for _, s := range spellings {
		values = append(values, s.values...)
	}
	credential := credentialIndex(key)
	if credential >= 0 {
		values = append(values, b.clientCredentials[credential])
	} else {
		values = append(values, b.header[key]...)
	}
	values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
	if len(values) == 0 {
		return nil
	}
	if err := checkName(key); err != nil {
		return &HeaderError{"x-portkey-*", err.Error()}
	}
	value := values[0]
	if p := parametersByKey[key]; p != nil && p.list {
		if value = joinLists(values); value == "" {
			return nil
		}
	} else if slices.ContainsFunc(values, func(v string) bool { return v != value }) {
		return &HeaderError{strings.ToLower(key), "is on the request more than once, with different values"}
	}
	switch {
	case credential >= 0:
		b.clientCredentials[credential] = value
	case !isPortkey(key):
		b.set(key, value)
	default:
		return request.add(key, value)
	}
	return nil
}

// joinLists joins comma-separated lists and omits empty elements.
func joinLists(lists []string) string {
	elements := strings.Split(strings.Join(lists, ","), ",")
	elements = slices.DeleteFunc(elements, func(e string) bool { return strings.Trim(e, " ") == "" })
	return strings.Join(elements, ",")
}

// addLevel adds the fields of level, except those that a level of higher
// precedence, or the request, has.
func (b *headerBuilder) addLevel(level *headerSet, higher []*headerSet) {
	for len(higher) > 0 && len(higher[0].fields) == 0 { // usually all
		higher = higher[1:]
	}
	for i := range level.fields {
		f := &level.fields[i]
		if anyHas(higher, f.key) {
			continue
		}
		b.portkeyHasCredential = b.portkeyHasCredential || f.portkeyHasCredential
		if f.isPortkey {
			b.set(f.key, f.value)
		} else if i := credentialIndex(f.key); i >= 0 {
			b.configuredCredentials[i] = f.value
		} else if !b.has(f.key) {
			b.set(f.key, f.value)
		}
	}
}

// anyHas reports whether any of the levels has a field with the given key.
func anyHas(levels []*headerSet, key string) bool {
	for _, level := range levels {
		if level.has(key) {
			return true
		}
	}
	return false
}

// addImplied adds what the URL implies that the client asked for, unless
// something else decides where the gateway sends the call: another provider, a
// virtual key, a config slug, or a config that names a provider. The gateway
// refuses any other config without a provider (see
// TestValidateRefusesWhatTheGatewayDoesNotAnswer in interop/).
func (b *headerBuilder) addImplied(implied providers.Implied) {
	if implied.Provider == "" || b.has(keyVirtualKey) {
		return
	}
	config := b.get(keyConfig)
	if config != "" && (b.portkeyHasCredential || !isJSON(config)) {
		return // the config decides
	}
	switch b.get(keyProvider) {
	case "":
		b.set(keyProvider, implied.Provider)
		b.portkeyHasCredential = b.portkeyHasCredential || isSavedProvider(implied.Provider)
	case implied.Provider:
	default:
		return
	}
	for _, h := range implied.Headers {
		// A value from the query may be invalid. The query is sent as well.
		if !b.has(h.Key) && checkValue(h.Value) == nil {
			b.set(h.Key, h.Value)
		}
	}
}

// isSavedProvider reports whether provider is the slug of one that is saved at
// Portkey, with its credential.
func isSavedProvider(provider string) bool { return strings.HasPrefix(provider, "@") }

// addCredentials adds the credentials of the client, of the context and of
// Options. The client's take precedence, unless override replaces them or Portkey has
// a credential: on some routes the gateway would send the client's to another provider
// (see TestNoClientCredentialWithAConfigOfTargets in interop/). A credential in
// ForwardHeaders is always sent.
func (b *headerBuilder) addCredentials(r *route, override string) {
	client, configured := b.clientCredentials, b.configuredCredentials
	for i := range client {
		client[i] = cmp.Or(client[i], r.redirected[i])
	}
	isClients := client[0] != "" // Authorization
	special, _ := providers.Find(r.implied.Provider)
	if override != "" && !b.portkeyHasCredential {
		configured[0] = ""
		r.url.RawQuery = replaceCredential(&client, override, r.url.RawQuery, special.KeyQuery)
	}
	for i, key := range credentialKeys {
		if client[i] == "" || b.portkeyHasCredential && !b.forwards(key) {
			client[i] = configured[i]
		}
	}
	provider := b.get(keyProvider)
	if !b.portkeyHasCredential {
		b.moveCredential(&client, isClients, provider, r)
	} else if special.KeyQuery != "" {
		r.url.RawQuery = setQuery(r.url.RawQuery, special.KeyQuery, "")
	}
	for i, key := range credentialKeys {
		b.set(key, client[i])
	}
	if client == (credentials{}) && !b.portkeyHasCredential && b.needsCredential(provider, r) {
		// The gateway would send "Bearer undefined" to the provider. If Authorization is
		// empty, the provider reports what is missing.
		b.setEmpty(keyAuthorization, "")
	}
}

// forwards reports whether the gateway forwards the header to the provider unchanged.
func (b *headerBuilder) forwards(key string) bool { return listContains(b.get(keyForward), key) }

// moveCredential moves the credential of a provider's clients to where the gateway
// reads it: an API key to Authorization, an OAuth token to a header of its own.
// isClients reports whether Authorization comes from the client.
func (b *headerBuilder) moveCredential(values *credentials, isClients bool, provider string, r *route) {
	special, _ := providers.Find(provider)
	if special.KeyHeader == "" || !providers.ReadsCredential(r.endpoint) {
		return
	}
	key, authorization := &values[credentialIndex(special.KeyHeader)], &values[credentialIndex(keyAuthorization)]
	token, isBearer := strings.CutPrefix(*authorization, "Bearer ")
	switch {
	case *key != "":
		*authorization = "Bearer " + *key
		if !b.forwards(special.KeyHeader) {
			*key = ""
		}
	case isBearer && isClients && r.rerouted && !b.has(special.TokenHeader):
		*authorization = ""
		b.set(special.TokenHeader, token)
	}
}

// needsCredential reports whether a request without any credential lacks one.
func (b *headerBuilder) needsCredential(provider string, r *route) bool {
	if !r.rerouted || b.has(keyAzureToken) || b.has(keyAzureAuthMode) {
		return false
	}
	if config := b.get(keyConfig); config != "" && (!isJSON(config) || strings.Contains(config, `"api_key"`)) {
		return false
	}
	_, known := providers.Find(provider)
	return known && !providers.HasKey(r.url.Query())
}

// replaceCredential replaces the credentials of the client by authorization, in the
// headers or the query parameter that the client used, and in their form: an API key
// has no "Bearer". If the client used none, or the scheme is another one, authorization
// goes into Authorization. It returns the new query.
func replaceCredential(client *credentials, authorization, query, queryKey string) string {
	key, isBearer := strings.CutPrefix(authorization, "Bearer ")
	if !isBearer {
		key = ""
	}
	used := false
	for i := range client {
		if i > 0 && client[i] != "" {
			client[i], used = key, isBearer
		}
	}
	if parsed, _ := url.ParseQuery(query); queryKey != "" && parsed.Has(queryKey) {
		query, used = setQuery(query, queryKey, key), isBearer
	}
	if !used || client[0] != "" {
		client[0] = authorization
	}
	return query
}

// setQuery sets a parameter that a query has, or removes it if value is "". It changes
// nothing else.
func setQuery(query, key, value string) string {
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if unescaped, err := url.QueryUnescape(name); err != nil || unescaped != key {
			pairs = append(pairs, pair)
		} else if value != "" {
			pairs = append(pairs, name+"="+url.QueryEscape(value))
		}
	}
	return strings.Join(pairs, "&")
}

// addTraceID adds the trace ID: id, or that of the traceparent header, whose span
// becomes the parent span, or what newTraceID returns.
func (b *headerBuilder) addTraceID(id string, newTraceID func() string) error {
	if id == "" {
		trace, span := parseTraceparent(b.traceparent)
		if trace != "" && !b.has(keyParentSpan) {
			b.set(keyParentSpan, span)
		}
		id = trace
	}
	if id == "" {
		id = newTraceID()
		if err := checkValue(id); err != nil {
			return &HeaderError{strings.ToLower(keyTraceID), "from Options.NewTraceID " + err.Error()}
		}
	}
	b.set(keyTraceID, id)
	return nil
}

// maxHeaderBytes is the size of a header that the gateway accepts, which is the
// default of Node.js. For a larger one it answers 431 with an empty body.
const maxHeaderBytes = 16 << 10

func fieldSize(key, value string) int { return len(key) + len(": ") + len(value) + len("\r\n") }

// checkSize returns an error that names the largest x-portkey-* header, if all
// headers together are larger than maxHeaderBytes.
func checkSize(headers iter.Seq2[string, string]) error {
	total, largestSize, largest := 0, 0, ""
	for key, value := range headers {
		size := fieldSize(key, value)
		if total += size; size > largestSize && isPortkey(key) {
			largestSize, largest = size, key
		}
	}
	if total <= maxHeaderBytes || largest == "" {
		return nil
	}
	reason := fmt.Sprintf("has %d bytes, of %d in all headers: gateways accept %d", largestSize, total, maxHeaderBytes)
	if largest == keyConfig {
		reason += "; save the config at Portkey and send its slug"
	}
	return &HeaderError{strings.ToLower(largest), reason}
}

// listContains reports whether a comma-separated list of header names contains name.
func listContains(list, name string) bool {
	for element := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(element, " "), name) {
			return true
		}
	}
	return false
}

// parseTraceparent returns the trace-id and the parent-id of a W3C traceparent
// header, or "" if it is invalid.
func parseTraceparent(text string) (trace, parent string) {
	if text == "" { // usually; Split would allocate
		return "", ""
	}
	p := strings.Split(text, "-")
	if len(p) < 4 || !isHex(p[0], 2) || !isHex(p[1], 32) || !isHex(p[2], 16) || !isHex(p[3], 2) ||
		p[0] == "ff" || p[0] == "00" && len(p) > 4 ||
		strings.Trim(p[1], "0") == "" || strings.Trim(p[2], "0") == "" {
		return "", ""
	}
	return p[1], p[2]
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
