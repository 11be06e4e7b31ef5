package portkey

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A wire is the header of one request to the gateway in the making. What goes
// before is put in first, and nothing that is there is replaced.
type wire struct {
	header      http.Header
	values      []string // the array behind the header's values; private to this request
	metadata    []pair   // what the request itself carries
	traceparent string
	size        int  // of all that was put in, in bytes; some of it may be out again
	holds       bool // Portkey certainly holds the provider's credential
}

// compose makes the header of a request that carries own and goes to to, with
// what the call's contexts and the Transport's Options add. newID makes a trace ID.
func (w *wire) compose(own http.Header, call, static *layer, to *route, newID func() string) error {
	size := len(own) + len(call.lines) + len(static.lines) + len(to.says) + 3 // trace, metadata, credential
	w.header, w.values = make(http.Header, size), make([]string, 0, size)
	if err := w.carry(own, call, static); err != nil {
		return err
	}
	w.putLines(call)
	w.putLines(static)
	if len(w.header[keyRefresh]) == 0 {
		delete(w.header, keyRefresh) // what kept lower levels out
	}
	w.putMetadata(call, static)
	w.putSaid(to.says)
	if w.holds {
		w.dropCredentials(call, static)
	} else {
		w.carryCredential(own, to)
	}
	if err := w.putTrace(cmp.Or(call.traceID, static.traceID), newID); err != nil {
		return err
	}
	if w.size <= maxHeaderBytes {
		return nil
	}
	return sizeFault(w.header)
}

func (w *wire) has(key string) bool { _, ok := w.header[key]; return ok }

// get is Header.Get for a key that is canonical.
func (w *wire) get(key string) string {
	if values := w.header[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (w *wire) put(key string, values ...string) {
	for _, v := range values {
		w.size += lineSize(key, v)
	}
	n := len(w.values)
	w.values = append(w.values, values...)
	w.header[key] = w.values[n:len(w.values):len(w.values)]
}

func (w *wire) putLines(level *layer) {
	for _, l := range level.lines {
		w.putLine(l)
	}
}

func (w *wire) putLine(l line) {
	if w.has(l.key) {
		return
	}
	w.holds = w.holds || l.holds
	if l.value == "" {
		w.header[l.key] = nil // keeps lower levels out
	} else {
		w.put(l.key, l.value)
	}
}

// carry puts in what the request carries. The headers that are not ours stay as
// they are; of ours, each becomes one line, whatever its spelling.
func (w *wire) carry(h http.Header, levels ...*layer) error {
	var ours map[string][]string
	for key, values := range h {
		canonical := http.CanonicalHeaderKey(key)
		usual := canonical == key && len(values) == 1 && values[0] != ""
		if isPortkey(key) || !usual && isOurs(canonical, levels) {
			if ours == nil {
				ours = make(map[string][]string)
			}
			ours[canonical] = append(ours[canonical], values...)
			continue
		}
		if canonical == "Traceparent" && len(values) == 1 {
			w.traceparent = values[0]
		}
		if values == nil {
			w.header[key] = nil
		} else {
			w.put(key, values...)
		}
	}
	for key, values := range ours {
		if err := w.carryOurs(key, append(values, w.header[key]...)); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) carryOurs(key string, values []string) error {
	values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
	if len(values) == 0 {
		return nil
	}
	if fault := nameFault(key); fault != "" {
		return &HeaderError{"x-portkey-*", fault}
	}
	value := values[0]
	if isList(key) {
		names := strings.Split(strings.Join(values, ","), ",")
		names = slices.DeleteFunc(names, func(name string) bool { return strings.Trim(name, " ") == "" })
		if value = strings.Join(names, ","); value == "" {
			return nil
		}
	} else if slices.ContainsFunc(values, func(v string) bool { return v != value }) {
		return &HeaderError{strings.ToLower(key), "is on the request more than once, with different values"}
	}
	switch {
	case !isPortkey(key):
		w.put(key, value)
		return nil
	case key == keyMetadata:
		pairs, err := parseMetadata(value)
		w.metadata = pairs
		return err
	}
	l, err := newLine(key, value)
	if err == nil {
		w.putLine(l)
	}
	return err
}

// isOurs reports whether key must be there in one spelling, because it has a
// meaning here or a level sets it.
func isOurs(key string, levels []*layer) bool {
	for _, l := range levels {
		if _, ok := l.line(key); ok {
			return true
		}
	}
	return knownKeys[key]
}

// putMetadata puts in the metadata of all levels.
func (w *wire) putMetadata(levels ...*layer) {
	merged := w.metadata
	for _, l := range levels {
		merged = mergePairs(l.metadata, merged)
	}
	if len(merged) > 0 {
		w.put(keyMetadata, encodeMetadata(merged))
	}
}

// putTrace puts in id, else the trace of a traceparent header with its span as
// the parent span, else what newID returns.
func (w *wire) putTrace(id string, newID func() string) error {
	if w.has(keyTrace) {
		return nil
	}
	if id == "" {
		trace, span := parseTraceparent(w.traceparent)
		if trace != "" && !w.has(keyParentSpan) {
			w.put(keyParentSpan, span)
		}
		id = trace
	}
	if id == "" {
		id = newID()
		if fault := valueFault(id); fault != "" {
			return &HeaderError{strings.ToLower(keyTrace), "as Options.NewTraceID makes it " + fault}
		}
	}
	if id != "" {
		w.put(keyTrace, id)
	}
	return nil
}

// putSaid puts in what the URL says that the client asked for: the provider,
// unless something else says where the gateway sends the call, and what that
// provider needs. A config object without a provider does not say it: the gateway
// refuses that alone.
func (w *wire) putSaid(says []line) {
	config := w.get(keyConfig)
	routes := config != "" && (w.holds || !isJSON(config))
	if len(says) == 0 || w.has(keyVirtualKey) || routes {
		return
	}
	if w.putLine(says[0]); w.get(keyProvider) != says[0].value {
		return
	}
	for _, l := range says[1:] {
		w.putLine(l)
	}
}

// saidBefore returns what an earlier hop's URL said.
func saidBefore(h http.Header) (says []line) {
	if h.Get(keyProvider) == "" {
		return nil
	}
	for _, key := range saidKeys {
		if l, err := newLine(key, h.Get(key)); err == nil && l.value != "" {
			says = append(says, l)
		}
	}
	return says
}

// dropCredentials takes out the credential that the client itself sends, if
// Portkey holds one: on some routes the gateway would hand the client's to
// another provider. What a level sets on purpose, or forwards, stays.
func (w *wire) dropCredentials(levels ...*layer) {
	forwarded := w.get(keyForward)
	for _, key := range credentialKeys {
		if listNames(forwarded, key) {
			continue
		}
		delete(w.header, key)
		for _, l := range levels {
			if ln, ok := l.line(key); ok {
				w.putLine(ln)
			}
		}
	}
}

// withoutKey takes out the credential that clients of Google may have in the query.
func withoutKey(query string) string {
	pairs := strings.Split(query, "&")
	return strings.Join(slices.DeleteFunc(pairs, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && name == "key"
	}), "&")
}

// carryCredential puts the client's credential where the gateway reads it. That
// is Authorization, but for an Entra token, which Azure's clients send there.
func (w *wire) carryCredential(own http.Header, to *route) {
	provider, config := w.get(keyProvider), w.get(keyConfig)
	if provider == azureOpenAI && readsCredential(to.endpoint) {
		key := w.get(keyAzureKey)
		token, bearer := strings.CutPrefix(w.get(keyAuthorization), "Bearer ")
		if key != "" {
			w.put(keyAuthorization, "Bearer "+key)
			if !listNames(w.get(keyForward), keyAzureKey) {
				delete(w.header, keyAzureKey)
			}
		} else if bearer && to.rerouted && !w.has(keyAzureToken) && anyKey(own, isAuthorization) {
			w.put(keyAzureToken, token)
			delete(w.header, keyAuthorization)
		}
	}

	// Of no credential at all the gateway makes "Bearer undefined". An empty one
	// leaves it to the provider to say what is missing.
	if !to.rerouted || slices.ContainsFunc(credentialKeys, w.has) || !isKnown(provider) {
		return
	}
	configured := config != "" && (!isJSON(config) || strings.Contains(config, `"api_key"`))
	if !configured && !w.has(keyAzureToken) && !w.has(keyAzureAuth) && !to.url.Query().Has("key") {
		w.put(keyAuthorization, "")
	}
}

func isAuthorization(key string) bool { return strings.EqualFold(key, keyAuthorization) }

// maxHeaderBytes is how much header the gateway takes: Node's default. Beyond
// that it answers 431 with an empty body, which nobody can make sense of.
const maxHeaderBytes = 16 << 10

func lineSize(key, value string) int { return len(key) + len(": ") + len(value) + len("\r\n") }

// sizeFault returns an error that names the largest of our headers, if the
// header as a whole is too large.
func sizeFault(h http.Header) error {
	total, most, largest := 0, 0, ""
	for key, values := range h {
		size := 0
		for _, v := range values {
			size += lineSize(key, v)
		}
		if total += size; size > most && isPortkey(key) {
			most, largest = size, key
		}
	}
	if total <= maxHeaderBytes || largest == "" {
		return nil
	}
	fault := fmt.Sprintf("is %d bytes of %d in the whole header, and gateways take %d", most, total, maxHeaderBytes)
	if largest == keyConfig {
		fault += ": save the config at Portkey and send its slug"
	}
	return &HeaderError{strings.ToLower(largest), fault}
}

func listNames(list, key string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(name, " "), key) {
			return true
		}
	}
	return false
}

// parseTraceparent returns the trace-id and parent-id of a W3C traceparent
// header, "" for one that is not valid.
func parseTraceparent(text string) (trace, parent string) {
	if text == "" { // as usual, and Split would allocate
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
