package portkey

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// A param is one field of Headers. The table of them, read off the struct's
// tags, is all that the code knows about the single headers: encoding, merging
// and redacting go through it.
type param struct {
	name   string // as Portkey documents it, in lower case
	key    string // as net/http spells it
	secret bool
	index  []int // where the field is in Headers
}

var params = paramsOf(reflect.TypeFor[Headers](), nil)

func paramsOf(t reflect.Type, index []int) (all []param) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		if name, flag, _ := strings.Cut(f.Tag.Get("header"), ","); name != "" {
			all = append(all, param{name, http.CanonicalHeaderKey(name), flag == "secret", at})
		} else if f.Type.Kind() == reflect.Struct {
			all = append(all, paramsOf(f.Type, at)...)
		}
	}
	return all
}

// Keys that the code has to know by name.
const (
	keyPrefix         = "X-Portkey-"
	keyAPIKey         = "X-Portkey-Api-Key"
	keyAuthorization  = "Authorization"
	keyAzureAuth      = "X-Portkey-Azure-Auth-Mode"
	keyAzureKey       = "Api-Key"
	keyAzureToken     = "X-Portkey-Azure-Ad-Token"
	keyAzureVersion   = "X-Portkey-Azure-Api-Version"
	keyBeta           = "X-Portkey-Beta"
	keyConfig         = "X-Portkey-Config"
	keyCustomHost     = "X-Portkey-Custom-Host"
	keyForward        = "X-Portkey-Forward-Headers"
	keyMetadata       = "X-Portkey-Metadata"
	keyParentSpan     = "X-Portkey-Parent-Span-Id"
	keyProvider       = "X-Portkey-Provider"
	keyRefresh        = "X-Portkey-Cache-Force-Refresh"
	keySensitive      = "X-Portkey-Sensitive-Headers"
	keyServiceAccount = "X-Portkey-Vertex-Service-Account-Json"
	keyTimeout        = "X-Portkey-Request-Timeout"
	keyTrace          = "X-Portkey-Trace-Id"
	keyUploadSize     = "X-Portkey-File-Upload-Size"
	keyVirtualKey     = "X-Portkey-Virtual-Key"
)

// credentialKeys are the headers in which clients send a provider's credential.
var credentialKeys = []string{keyAuthorization, keyAzureKey, "X-Api-Key", "X-Goog-Api-Key"}

// knownKeys are the headers that have a field, or are a credential.
var knownKeys = func() map[string]bool {
	keys := make(map[string]bool)
	for _, p := range params {
		keys[p.key] = true
	}
	for _, key := range credentialKeys {
		keys[key] = true
	}
	return keys
}()

// isPortkey reports whether key is an x-portkey-* header, in any spelling.
func isPortkey(key string) bool {
	return len(key) >= len(keyPrefix) && strings.EqualFold(key[:len(keyPrefix)], keyPrefix)
}

// A layer is one level of Headers, checked and as it goes on the wire.
type layer struct {
	traceID  string
	metadata []pair
	lines    []line // all the rest
}

type line struct {
	key   string // canonical
	value string // "": not sent, and nothing from a lower level either
	holds bool   // with this line, Portkey holds the provider's credential
}

func (l *layer) line(key string) (line, bool) {
	for _, l := range l.lines {
		if l.key == key {
			return l, true
		}
	}
	return line{}, false
}

// newLayer checks and encodes h.
func newLayer(h *Headers) (l layer, err error) {
	if l.metadata, err = newMetadata(h.Metadata); err != nil {
		return l, err
	}
	v := reflect.ValueOf(h).Elem()
	for _, p := range params {
		f := v.FieldByIndex(p.index)
		if !isSet(f) || p.key == keyMetadata {
			continue
		}
		text, fault := encode(f)
		if fault != "" {
			return l, &HeaderError{p.name, fault}
		}
		if err := l.add(p.key, text); err != nil {
			return l, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Extra)) {
		key, text := http.CanonicalHeaderKey(name), h.Extra[name]
		if fault := nameFault(name); fault != "" {
			return l, &HeaderError{"Extra", fault}
		}
		if reserved[key] {
			return l, &HeaderError{strings.ToLower(key), "cannot be set: net/http writes it"}
		}
		if text == "" {
			continue
		}
		if err := l.add(key, text); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *layer) add(key, text string) error {
	_, twice := l.line(key)
	if twice || key == keyTrace && l.traceID != "" || key == keyMetadata && l.metadata != nil {
		return &HeaderError{strings.ToLower(key), "is set twice: by its field and in Extra, or there in two spellings"}
	}
	if key == keyMetadata {
		var err error
		l.metadata, err = parseMetadata(text)
		return err
	}
	ln, err := newLine(key, text)
	if err != nil {
		return err
	}
	if key == keyTrace {
		l.traceID = ln.value
	} else {
		l.lines = append(l.lines, ln)
	}
	return nil
}

// over returns l over outer.
func (l layer) over(outer layer) layer {
	if l.traceID == "" {
		l.traceID = outer.traceID
	}
	l.metadata = mergePairs(outer.metadata, l.metadata)
	if len(l.lines) == 0 {
		l.lines = outer.lines
	} else if len(outer.lines) > 0 {
		inner := l
		for _, ln := range outer.lines {
			if _, set := inner.line(ln.key); !set {
				l.lines = append(l.lines, ln)
			}
		}
	}
	return l
}

// isSet reports whether a field says anything.
func isSet(f reflect.Value) bool {
	switch f.Kind() {
	case reflect.Interface: // a Config, or a pointer to one
		for f.Kind() == reflect.Interface || f.Kind() == reflect.Pointer {
			if f.IsNil() {
				return false
			}
			f = f.Elem()
		}
		return isSet(f)
	case reflect.Map, reflect.Slice:
		return f.Len() > 0
	}
	return !f.IsZero()
}

// encode returns a field's value as text. Whether the gateway takes it, newLine says.
func encode(f reflect.Value) (text, fault string) {
	switch v := f.Interface().(type) {
	case string:
		return v, ""
	case *bool:
		return strconv.FormatBool(*v), ""
	case int64:
		return strconv.FormatInt(v, 10), ""
	case time.Duration:
		// Up, so that no timeout is shortened, and none becomes 0, which is none.
		ms := v / time.Millisecond
		if v%time.Millisecond > 0 {
			ms++
		}
		return strconv.FormatInt(int64(ms), 10), ""
	case []string:
		return strings.Join(v, ","), ""
	case Config:
		if c := plainConfig(v); c != nil {
			return c.text()
		}
		return "", "is not a ConfigSlug, ConfigJSON or ConfigObject"
	}
	panic("portkey: no encoding for a field of type " + f.Type().String())
}

// newLine checks a value for the header key, and gives it its form on the wire.
func newLine(key, value string) (line, error) {
	l := line{key: key, value: value}
	fault := ""
	switch key {
	case keyVirtualKey:
		l.holds = true
	case keyProvider:
		l.holds = strings.HasPrefix(value, "@")
	case keyConfig:
		l.value, l.holds, fault = configWire(value)
	case keyCustomHost:
		fault = customHostFault(value)
	case keyBeta, keyForward, keySensitive:
		fault = listFault(key, value)
	case keyRefresh:
		switch strings.ToLower(value) {
		case "true":
			l.value = "true"
		case "false":
			l.value = "" // even that would refresh
		default:
			fault = "is neither true nor false"
		}
	case keyServiceAccount:
		l.value, fault = jsonWire(value)
	case keyTimeout:
		if ms, err := strconv.Atoi(value); err != nil || ms < 1 || ms > 1<<31-1 {
			fault = "is not 1 to 2147483647 milliseconds"
		}
	case keyUploadSize:
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 1 {
			fault = "is not a number of bytes"
		}
	}
	if fault == "" {
		fault = valueFault(l.value)
	}
	if fault != "" {
		return line{}, &HeaderError{strings.ToLower(key), fault}
	}
	return l, nil
}

// reserved are the headers that net/http writes itself, or that frame a message.
var reserved = map[string]bool{
	"Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Keep-Alive": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// valueFault says why value cannot be a header's value. It is stricter than
// net/http, which trims blanks and lets bytes through that the gateway misreads.
func valueFault(value string) string {
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ' || c == 0x7f:
			return "has a control character"
		case c > 0x7f:
			return "has a character that is not ASCII"
		}
	}
	if value != strings.Trim(value, " ") {
		return "has blanks around it"
	}
	return ""
}

// nameFault says why name cannot be a header's name.
func nameFault(name string) string {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if name == "" || strings.Trim(name, token) != "" {
		return "has a name that cannot be one"
	}
	return ""
}

// isList reports whether the header is a comma-separated list, which may also
// come in several lines.
func isList(key string) bool { return key == keyBeta || key == keyForward || key == keySensitive }

// listFault says why value cannot be a list of names. The headers that the
// documentation forbids to forward are those by which a cloud's metadata service
// is tricked; content-length has the gateway fail.
func listFault(key, value string) string {
	for name := range strings.SplitSeq(value, ",") {
		name = strings.Trim(name, " ")
		if fault := nameFault(name); fault != "" {
			return fault
		}
		if key != keyForward {
			continue
		}
		if isPortkey(name) {
			return "names an x-portkey-* header: those stay at the gateway"
		}
		switch strings.ToLower(name) {
		case "content-length", "metadata-flavor", "x-aws-ec2-metadata-token", "x-google-metadata-request":
			return "names a header that cannot be forwarded"
		}
	}
	return ""
}

func customHostFault(value string) string {
	if len(value) > 2048 {
		return "is longer than 2048 characters"
	}
	_, fault := parseBaseURL(value)
	return fault
}

// merge sets in h what is set in over, as copies. Maps merge key by key.
func (h *Headers) merge(over *Headers) {
	dst, src := reflect.ValueOf(h).Elem(), reflect.ValueOf(over).Elem()
	for _, p := range params {
		d, s := dst.FieldByIndex(p.index), src.FieldByIndex(p.index)
		if !isSet(s) {
			continue
		}
		switch v := s.Interface().(type) {
		case *bool:
			d.Set(reflect.ValueOf(Bool(*v)))
		case []string:
			d.Set(reflect.ValueOf(slices.Clone(v)))
		case Metadata:
			if h.Metadata == nil {
				h.Metadata = make(Metadata, len(v))
			}
			maps.Copy(h.Metadata, v)
		case Config:
			h.Config = plainConfig(v).clone()
		default:
			d.Set(s)
		}
	}
	extra := make(map[string]string, len(h.Extra)+len(over.Extra))
	for _, m := range []map[string]string{h.Extra, over.Extra} {
		for name, value := range m {
			if value != "" {
				extra[http.CanonicalHeaderKey(name)] = value
			}
		}
	}
	// A header is in its field or in Extra, wherever it was set last.
	for _, p := range params {
		if isSet(src.FieldByIndex(p.index)) {
			delete(extra, p.key)
		} else if extra[p.key] != "" {
			dst.FieldByIndex(p.index).SetZero()
		}
	}
	if h.Extra = nil; len(extra) > 0 {
		h.Extra = extra
	}
}

// A pair is one entry of metadata. Slices of them are sorted by key, without
// duplicates, so that equal metadata is equal bytes on the wire.
type pair struct{ key, value string }

func newMetadata(m Metadata) ([]pair, error) {
	if len(m) == 0 {
		return nil, nil
	}
	pairs := make([]pair, 0, len(m))
	for k, v := range m {
		fault := ""
		switch {
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			fault = "has text that is not UTF-8"
		case utf8.RuneCountInString(v) > 128:
			fault = "has a value of more than 128 characters"
		}
		if fault != "" {
			return nil, &HeaderError{strings.ToLower(keyMetadata), fault}
		}
		pairs = append(pairs, pair{k, v})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return pairs, nil
}

// parseMetadata reads metadata that somebody wrote into a header.
func parseMetadata(text string) ([]pair, error) {
	var m map[string]*string
	if err := json.Unmarshal([]byte(text), &m); err != nil || m == nil {
		return nil, &HeaderError{strings.ToLower(keyMetadata), "is not a JSON object of strings"}
	}
	md := make(Metadata, len(m))
	for k, v := range m {
		if v == nil {
			return nil, &HeaderError{strings.ToLower(keyMetadata), "is not a JSON object of strings"}
		}
		md[k] = *v
	}
	return newMetadata(md)
}

// mergePairs returns inner over outer.
func mergePairs(outer, inner []pair) []pair {
	switch {
	case len(outer) == 0:
		return inner
	case len(inner) == 0:
		return outer
	}
	merged := make([]pair, 0, len(outer)+len(inner))
	for len(outer) > 0 && len(inner) > 0 {
		switch c := strings.Compare(outer[0].key, inner[0].key); {
		case c < 0:
			merged, outer = append(merged, outer[0]), outer[1:]
		case c > 0:
			merged, inner = append(merged, inner[0]), inner[1:]
		default:
			outer = outer[1:]
		}
	}
	return append(append(merged, outer...), inner...)
}

func encodeMetadata(pairs []pair) string {
	var stack [512]byte
	b := append(stack[:0], '{')
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, p.key), ':')
		b = appendString(b, p.value)
	}
	return string(append(b, '}'))
}

// appendString appends s, which is UTF-8, as a JSON string in ASCII.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i, r := range s {
		if ' ' <= r && r < 0x7f && r != '"' && r != '\\' {
			continue // most is plain, and goes at once
		}
		b = append(b, s[done:i]...)
		if done = i + utf8.RuneLen(r); r == '"' || r == '\\' {
			b = append(b, '\\')
		}
		b = appendASCII(b, r)
	}
	return append(append(b, s[done:]...), '"')
}

// appendASCII appends r to JSON text, as itself if it is printable ASCII and
// escaped otherwise.
func appendASCII(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r >= ' ' && r < 0x7f:
		return append(b, byte(r))
	case r > 0xffff:
		hi, lo := utf16.EncodeRune(r)
		return appendASCII(appendASCII(b, hi), lo)
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// jsonWire returns a JSON object as a header carries it: compact and in ASCII.
func jsonWire(text string) (wire, fault string) {
	var compact bytes.Buffer
	if !isJSON(text) || !utf8.ValidString(text) || json.Compact(&compact, []byte(text)) != nil {
		return "", "is not a JSON object"
	}
	// Outside its strings, JSON is ASCII.
	var b []byte
	for _, r := range compact.String() {
		b = appendASCII(b, r)
	}
	return string(b), ""
}
