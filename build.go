package portkey

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portkey-go/portkey/internal/providers"
)

// A headerBuilder builds the header of one request to the gateway. Headers are
// added in order of precedence; an existing header is never replaced.
type headerBuilder struct {
	*settings
	isRedirect bool

	header http.Header
	values []string // backs the values in header
	size   int      // of header, in bytes

	clientCredentials     credentials // from the request
	configuredCredentials credentials // from its context or from Options
	configuredCredential  bool        // whether a configured one is sent
	traceparents          []string    // of the request, in all spellings
	request               headerSet   // the request's own x-portkey-* headers

	// portkeyHasCredential reports whether Portkey certainly uses a credential of
	// its own. Then the client's is not sent.
	portkeyHasCredential bool
}

// credentials are the values of the headers in credentialKeys.
type credentials [len(credentialKeys)]string

// build sets b.header to the header of the request to send, given the caller's request,
// the values of its context, and its route.
func (b *headerBuilder) build(req *http.Request, c *call, r *route) error {
	if err := b.addParameters(req.Header, c, r); err != nil {
		return err
	}
	override := ""
	if c.has(keyAuthorization) || b.ignoreRequestHeaders {
		override = b.configuredCredentials[credentialIndex(keyAuthorization)]
	}
	if err := b.addCredentials(r, override); err != nil {
		return err
	}
	if err := b.addAPIKey(req.Context()); err != nil {
		return err
	}
	if err := b.addTraceID(req.Context(), cmp.Or(b.request.traceID, c.traceID, b.defaults.traceID), r.traceID); err != nil {
		return err
	}
	if b.size > maxHeaderBytes {
		return checkSize(b.all)
	}
	return nil
}

// addParameters adds all headers but credentials and the trace ID.
func (b *headerBuilder) addParameters(req http.Header, c *call, r *route) error {
	levels := [...]*headerSet{&b.request, &c.headerSet, b.defaults} // highest precedence first
	b.allocate(len(req), levels[:], r.implied)
	if err := b.copyRequestHeader(req, levels[1:]); err != nil {
		return err
	}
	for i, level := range levels {
		b.addLevel(level, levels[:i])
	}
	b.addImplied(r.implied, &c.headerSet)
	b.portkeyHasCredential = b.portkeyHasCredential || r.credentialOmitted
	b.setNonEmpty(keyMetadata, encodeMetadata(b.request.metadata, c.metadata, b.defaults.metadata))
	return nil
}

// allocate makes room for all headers, n of which are the request's. The number is
// exact in the common cases: a map that is larger than necessary, or grows, costs as
// much as the rest of build.
func (b *headerBuilder) allocate(n int, levels []*headerSet, implied providers.Implied) {
	hasMetadata, addsImplied := false, implied.Provider != ""
	for _, level := range levels {
		n += len(level.fields)
		hasMetadata = hasMetadata || len(level.metadata) > 0
		addsImplied = addsImplied && !level.setsProvider
	}
	n++ // the trace ID
	if hasMetadata {
		n++
	}
	if addsImplied {
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

// setNonEmpty adds a header with one value, unless that is "".
func (b *headerBuilder) setNonEmpty(key, value string) {
	if value != "" {
		b.set(key, value)
	}
}

// set adds a header with one value, which may be "".
func (b *headerBuilder) set(key, value string) {
	n := len(b.values)
	b.values = append(b.values, value)
	b.header[key] = b.values[n : n+1 : n+1]
	b.size += fieldSize(key, value)
}

// copyRequestHeader copies h, the header of the request, with two exceptions: it adds
// x-portkey-* headers to b.request, unless they are ignored, and keeps credentials for
// addCredentials.
//
// An http.Header may have one name in several spellings, which net/http would send as
// several headers. copyRequestHeader merges those of x-portkey-* and managed headers.
func (b *headerBuilder) copyRequestHeader(h http.Header, levels []*headerSet) error {
	var toMerge []headerSpelling
	toMergeSize := 0
	for key, values := range h {
		canonical := key
		if !isCanonical(key) {
			canonical = http.CanonicalHeaderKey(key)
		}
		if b.ignoreRequestHeaders && isIgnored(canonical, levels) {
			continue
		}
		isUsual := canonical == key && len(values) == 1 && values[0] != ""
		if isPortkey(key) || !isUsual && isManaged(canonical, levels) {
			toMerge = append(toMerge, headerSpelling{canonical, key, values})
			for _, v := range values {
				toMergeSize += fieldSize(key, v)
			}
			continue
		}
		switch {
		case b.ignoreRequestHeaders && canonical == "Upgrade" && !strings.EqualFold(strings.Join(values, ","), "websocket"):
			continue // h2c would be a tunnel for requests that no Transport sees
		case b.isRedirect && canonical == "Referer":
			continue // net/http's: the previous URL, whose query may contain an API key
		case canonical == "Connection":
			for _, v := range values {
				toMergeSize += fieldSize(key, v)
			}
			if toMergeSize > maxHeaderBytes {
				break // an error below
			}
			if values = withoutManaged(values, levels); len(values) == 0 {
				continue
			}
		}
		if canonical == keyTraceparent {
			b.traceparents = append(b.traceparents, values...)
		}
		if i := credentialIndex(key); i >= 0 {
			b.clientCredentials[i] = values[0]
		} else {
			b.copyValues(key, values)
		}
	}
	if toMergeSize > maxHeaderBytes { // checked early: merging takes quadratic time
		return &HeaderError{Name: "x-portkey-*", Reason: fmt.Sprintf("on the request have %d bytes: gateways accept %d",
			toMergeSize, maxHeaderBytes)}
	}
	slices.SortFunc(toMerge, compareSpellings)
	for len(toMerge) > 0 {
		n := 1
		for n < len(toMerge) && toMerge[n].canonical == toMerge[0].canonical {
			n++
		}
		if err := b.mergeSpellings(toMerge[:n]); err != nil {
			return err
		}
		toMerge = toMerge[n:]
	}
	return nil
}

// isIgnored reports whether Options.IgnoreRequestHeaders ignores a header: it is a
// parameter of the gateway, or set by a level. baggage is metadata for the hosted gateway.
func isIgnored(key string, levels []*headerSet) bool {
	isParameter := parametersByKey[key] != nil && key != keyAuthorization
	return resemblesPortkey(key) || isParameter || key == keyBaggage || key == keyTraceparent ||
		key != keyAuthorization && anyHas(levels, key)
}

// withoutManaged returns the values of a Connection header without the names of managed
// and x-portkey-* headers: a proxy in front of the gateway would remove those headers,
// and with them a guardrail in the config.
func withoutManaged(values []string, levels []*headerSet) (kept []string) {
	for _, v := range values {
		names := slices.DeleteFunc(strings.Split(v, ","), func(name string) bool {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			return isPortkey(name) || isManaged(name, levels)
		})
		if len(names) > 0 {
			kept = append(kept, strings.Join(names, ","))
		}
	}
	return kept
}

// copyValues copies the values of a header: the base may change its request, but
// not the caller's.
func (b *headerBuilder) copyValues(key string, values []string) {
	switch len(values) {
	case 0: // copied as well: a User-Agent without values makes net/http send none
		b.header[key] = values[:0:0]
		return
	case 1:
		b.set(key, values[0])
		return
	}
	n := len(b.values)
	b.values = append(b.values, values...)
	b.header[key] = b.values[n:len(b.values):len(b.values)]
	for _, v := range values {
		b.size += fieldSize(key, v)
	}
}

// A headerSpelling is a header of the request in one spelling, with its values.
type headerSpelling struct {
	canonical, spelling string
	values              []string
}

func compareSpellings(x, y headerSpelling) int {
	return cmp.Or(strings.Compare(x.canonical, y.canonical), strings.Compare(x.spelling, y.spelling))
}

// isManaged reports whether this package reads or sets the header: it is a parameter,
// can contain a credential, or is set by a level. It must then have one value only.
func isManaged(key string, levels []*headerSet) bool {
	return parametersByKey[key] != nil || credentialIndex(key) >= 0 || anyHas(levels, key)
}

// mergeSpellings adds one header of the request, given in one or more spellings, to b or
// b.request. It joins lists; of any other header all values must be equal.
func (b *headerBuilder) mergeSpellings(spellings []headerSpelling) error {
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
		return &HeaderError{Name: "x-portkey-*", Reason: err.Error()}
	}
	value := values[0]
	if p := parametersByKey[key]; p != nil && p.list {
		if value = joinLists(values); value == "" {
			return nil
		}
	} else if slices.ContainsFunc(values, func(v string) bool { return v != value }) {
		const reason = "is on the request more than once, with different values"
		return &HeaderError{Name: strings.ToLower(key), Reason: reason}
	}
	switch {
	case credential >= 0:
		b.clientCredentials[credential] = value
	case !isPortkey(key):
		b.setNonEmpty(key, value)
	default:
		return b.request.add(key, value)
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
// precedence, or the request, overrides.
func (b *headerBuilder) addLevel(level *headerSet, higher []*headerSet) {
	for len(higher) > 0 && len(higher[0].fields) == 0 { // usually true of all
		higher = higher[1:]
	}
	for i := range level.fields {
		f := &level.fields[i]
		if anyOverrides(higher, f) {
			continue
		}
		b.portkeyHasCredential = b.portkeyHasCredential || f.portkeyHasCredential
		if f.isPortkey {
			b.setNonEmpty(f.key, f.value)
		} else if i := credentialIndex(f.key); i >= 0 {
			b.configuredCredentials[i] = f.value
		} else if !b.has(f.key) {
			b.setNonEmpty(f.key, f.value)
		}
	}
}

// anyOverrides reports whether any of the levels overrides f.
func anyOverrides(levels []*headerSet, f *headerField) bool {
	for _, level := range levels {
		if level.overrides(f) {
			return true
		}
	}
	return false
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

// addImplied adds the headers that the URL of the client's request implies, unless
// another header determines the provider: x-portkey-provider, a virtual key, a config
// slug, or a config that names a provider. With any other config, the gateway calls
// the provider in x-portkey-provider (see "retry of models" in
// TestPortkeytestAnswersAsTheGatewayDoes in interop/).
func (b *headerBuilder) addImplied(implied providers.Implied, context *headerSet) {
	if implied.Provider == "" || b.has(keyVirtualKey) {
		return
	}
	config, provider := b.get(keyConfig), b.get(keyProvider)
	configDecides := config != "" && (b.portkeyHasCredential || !isJSON(config))
	slug, isSaved := b.savedProvider(implied)
	onlyRegion := false
	switch {
	case isSaved && provider == "":
		b.useSavedProvider(context)
		if configDecides {
			return
		}
		b.setNonEmpty(keyProvider, slug)
		onlyRegion = true // the data must stay there
	case configDecides || provider != "" && provider != implied.Provider:
		return
	case provider == "":
		b.setNonEmpty(keyProvider, implied.Provider)
		if isSavedProvider(implied.Provider) {
			b.useSavedProvider(context)
		}
	}
	for _, h := range implied.Headers {
		if onlyRegion && !strings.HasSuffix(h.Key, "-Region") {
			continue
		}
		// A value from the query may be invalid. It can be omitted: the query is also sent.
		if !b.has(h.Key) && checkValue(h.Value) == nil {
			b.setNonEmpty(h.Key, h.Value)
		}
	}
}

// useSavedProvider makes Portkey's credential be used, and a credential in the context. One
// in Options is for the clients of other providers.
func (b *headerBuilder) useSavedProvider(context *headerSet) {
	b.portkeyHasCredential = true
	for _, f := range b.defaults.fields {
		if !f.isCredential || context.has(f.key) || b.request.has(f.key) {
			continue
		}
		if i := credentialIndex(f.key); i >= 0 {
			b.configuredCredentials[i] = ""
		} else {
			delete(b.header, f.key)
		}
	}
}

// savedProvider returns the entry of Options.ProviderSlugs for what a URL implies. A
// custom host has none: the saved provider would be called at its own host, which may be
// in another region or another company's.
func (s *settings) savedProvider(implied providers.Implied) (slug string, ok bool) {
	if slug, ok = s.providerSlugs[implied.Provider]; !ok {
		return "", false
	}
	hasCustomHost := slices.ContainsFunc(implied.Headers, func(h providers.Header) bool { return h.Key == keyCustomHost })
	return slug, !hasCustomHost
}

// isSavedProvider reports whether provider is the "@slug" of a provider that is saved
// at Portkey together with its credential.
func isSavedProvider(provider string) bool { return strings.HasPrefix(provider, "@") }

// addCredentials adds the credentials of the request, or else the configured ones. If
// there is an override, it replaces those of the request. If Portkey has the provider's
// credential, it omits those of the request, except in headers that ForwardHeaders
// names: for some endpoints the gateway would send them to another provider (see
// TestNoClientCredentialWithAConfigOfTargets in interop/).
func (b *headerBuilder) addCredentials(r *route, override string) error {
	client, configured := b.clientCredentials, b.configuredCredentials
	for i := range client {
		client[i] = cmp.Or(client[i], r.redirected[i])
	}
	if strings.TrimRight(client[0], " ") == "Bearer" {
		client[0] = "" // of a client without a key
	}
	fromClient := client[0] != "" // Authorization
	provider := b.get(keyProvider)
	b.configuredCredential = override != ""
	if override != "" {
		replaceCredential(&client, override, provider, r)
	}
	if override != "" || b.portkeyHasCredential && !b.forwards(keyAuthorization) {
		b.removeSignature(r.implied.Provider, provider)
	}
	if b.portkeyHasCredential {
		for i, key := range credentialKeys {
			if client[i] == "" || !b.forwards(key) {
				client[i] = configured[i]
			}
		}
		keys, _ := queryKeys(r, provider)
		for _, key := range keys {
			r.url.RawQuery, _ = setQuery(r.url.RawQuery, key, "")
		}
	} else {
		if client == (credentials{}) && configured != (credentials{}) && !hasQueryKey(r, provider) {
			client, b.configuredCredential = configured, true
		}
		if err := b.moveCredential(&client, fromClient, provider, r); err != nil {
			return err
		}
		if client == (credentials{}) && b.needsCredential(provider, r) {
			// The gateway would send "Bearer undefined" to the provider. If Authorization is
			// empty, the provider reports what is missing.
			b.set(keyAuthorization, "")
		}
	}
	for i, key := range credentialKeys {
		b.setNonEmpty(key, client[i])
	}
	return nil
}

// queryKeys returns the query parameters in which the client may have sent an API key:
// those of the provider that its URL implies, and of the one that is called. If neither is
// known, isKnown is false, and the parameters are those of all providers.
func queryKeys(r *route, provider string) (keys []string, isKnown bool) {
	for _, name := range []string{r.implied.Provider, provider} {
		special, found := providers.Find(name)
		isKnown = isKnown || found
		if special.KeyQuery != "" {
			keys = append(keys, special.KeyQuery)
		}
	}
	if !isKnown {
		keys = providers.QueryKeys()
	}
	return keys, isKnown
}

// hasQueryKey reports whether the query of r contains an API key.
func hasQueryKey(r *route, provider string) bool {
	keys, _ := queryKeys(r, provider)
	return slices.ContainsFunc(keys, func(key string) bool {
		_, had := setQuery(r.url.RawQuery, key, "")
		return had
	})
}

// removeSignature removes the headers of a signature whose Authorization is not sent,
// unless the provider that the URL implies, or else the one that is called, is known to have
// none. The gateway would replace those of its own signature by them.
func (b *headerBuilder) removeSignature(implied, called string) {
	special, isKnown := providers.Find(implied)
	if !isKnown {
		special, isKnown = providers.Find(called)
	}
	if isKnown && !special.IsSigned {
		return
	}
	maps.DeleteFunc(b.header, func(key string, _ []string) bool {
		return slices.Contains(providers.SignatureHeaders(), http.CanonicalHeaderKey(key))
	})
}

// forwards reports whether ForwardHeaders names the header.
func (b *headerBuilder) forwards(key string) bool { return listContains(b.get(keyForward), key) }

// moveCredential moves a credential from the header in which the provider's clients
// send it to the one in which the gateway reads it: an API key to Authorization, an
// OAuth token from Authorization to the provider's TokenHeader, if it is fromClient.
// It adds the header that the gateway needs beside Authorization: Bearer.
func (b *headerBuilder) moveCredential(values *credentials, fromClient bool, provider string, r *route) error {
	special, _ := providers.Find(provider)
	authorization := &values[credentialIndex(keyAuthorization)]
	token, isBearer := strings.CutPrefix(*authorization, "Bearer ")
	if with := special.WithBearer; isBearer && r.implied.Provider == provider && !b.has(with.Key) {
		b.setNonEmpty(with.Key, with.Value)
	}
	if special.KeyHeader == "" || !providers.ReadsCredential(r.endpoint) {
		return nil
	}
	key := &values[credentialIndex(special.KeyHeader)]
	switch {
	case *key != "":
		if err := checkValue(*key); err != nil {
			return &HeaderError{Name: strings.ToLower(special.KeyHeader), Reason: err.Error()}
		}
		*authorization = "Bearer " + *key
		if !b.forwards(special.KeyHeader) {
			*key = ""
		}
	case isBearer && fromClient && r.rerouted && !b.has(special.TokenHeader):
		if err := checkValue(token); err != nil {
			return &HeaderError{Name: "authorization", Reason: err.Error()}
		}
		*authorization = ""
		b.setNonEmpty(special.TokenHeader, token)
	}
	return nil
}

// needsCredential reports whether the gateway expects a credential on a request that
// has none.
func (b *headerBuilder) needsCredential(provider string, r *route) bool {
	if !r.rerouted || b.has(keyAzureToken) || b.has(keyAzureAuthMode) {
		return false
	}
	if config := b.get(keyConfig); config != "" && (!isJSON(config) || strings.Contains(config, `"api_key"`)) {
		return false
	}
	_, known := providers.Find(provider)
	return known && !hasQueryKey(r, provider)
}

// replaceCredential replaces the credentials of the client by authorization, in the
// headers or the query parameter that the client used, and in their form: an API key
// has no "Bearer". If the client used none, or the scheme is another one, authorization
// goes into Authorization.
func replaceCredential(client *credentials, authorization, provider string, r *route) {
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
	keys, isKnown := queryKeys(r, provider)
	for _, name := range keys {
		query, had := setQuery(r.url.RawQuery, name, key)
		if !had || !isKnown { // a secret stays out of a query that may be logged as data
			query, had = setQuery(query, name, "")
		}
		r.url.RawQuery, used = query, used || had && isKnown && isBearer
	}
	if !used || client[0] != "" {
		client[0] = authorization
	}
}

// setQuery sets a parameter that a query has, once, or removes it if value is "". It
// changes nothing else. It reports whether the query had the parameter, with a value that is not
// empty.
func setQuery(query, key, value string) (_ string, had bool) {
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, old, _ := strings.Cut(pair, "=")
		if unescaped, err := url.QueryUnescape(name); err != nil || unescaped != key {
			pairs = append(pairs, pair)
			continue
		}
		had = had || old != ""
		if value != "" {
			pairs, value = append(pairs, name+"="+url.QueryEscape(value)), ""
		}
	}
	return strings.Join(pairs, "&"), had
}

// addAPIKey adds the key that Options.APIKeySource returns, unless there is one.
func (b *headerBuilder) addAPIKey(ctx context.Context) error {
	if b.apiKeySource == nil || b.has(keyAPIKey) {
		return nil
	}
	key, err := b.apiKeySource(ctx)
	if err != nil {
		return fmt.Errorf("portkey: Options.APIKeySource: %w", err)
	}
	if key == "" && b.gateway.isHosted() {
		return fmt.Errorf("portkey: Options.APIKeySource returned no key: %w", ErrNoAPIKey)
	}
	if err := checkValue(key); err != nil {
		return &HeaderError{Name: strings.ToLower(keyAPIKey), Reason: "from Options.APIKeySource " + err.Error()}
	}
	b.setNonEmpty(keyAPIKey, key)
	return nil
}

// addTraceID adds the trace ID: id, or else the trace-id of the traceparent header,
// whose parent-id then becomes the parent span ID, or else that of the previous hop, or
// else the result of Options.NewTraceID.
func (b *headerBuilder) addTraceID(ctx context.Context, id, previous string) error {
	if id == "" {
		trace, parent := parseTraceparent(b.traceparents)
		if trace != "" && !b.has(keyParentSpan) {
			b.setNonEmpty(keyParentSpan, parent)
		}
		id = cmp.Or(trace, previous)
	}
	if id == "" {
		id = b.newTraceID(ctx)
		if err := checkValue(id); err != nil {
			return &HeaderError{Name: strings.ToLower(keyTraceID), Reason: "from Options.NewTraceID " + err.Error()}
		}
	}
	b.setNonEmpty(keyTraceID, id)
	return nil
}

// maxHeaderBytes is the maximum size of all request headers together. It is the
// default of Node.js: the gateway responds to more with status 431 and an empty body
// (see "headers of 16 KB" in TestPortkeytestAnswersAsTheGatewayDoes in interop/).
const maxHeaderBytes = 16 << 10

func fieldSize(key, value string) int { return len(key) + len(": ") + len(value) + len("\r\n") }

// checkSize returns an error that names the largest x-portkey-* header if all headers
// together are larger than maxHeaderBytes. It returns nil if none is x-portkey-*.
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
	return &HeaderError{Name: strings.ToLower(largest), Reason: reason}
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
// header, or "" if it is invalid or has more than one value.
func parseTraceparent(values []string) (trace, parent string) {
	if len(values) != 1 {
		return "", ""
	}
	p := strings.Split(values[0], "-")
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
