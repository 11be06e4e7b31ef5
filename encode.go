package portkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/portkey-go/portkey/internal/configcheck"
)

// A parameter is one row of the header table: the properties of a header that has a
// field in Headers. The table is derived from the tags and types of the fields.
type parameter struct {
	name   string // as Portkey documents it, in lower case
	key    string // canonical
	secret bool   // never printed
	list   bool   // comma-separated; a request may have several values
	encode encoder
	index  []int // of the field in Headers
}

var (
	parameters      = parametersOf(reflect.TypeFor[Headers](), nil)
	parametersByKey = func() map[string]*parameter {
		byKey := make(map[string]*parameter)
		for i := range parameters {
			byKey[parameters[i].key] = &parameters[i]
		}
		return byKey
	}()
)

// parametersOf returns the parameters of t, which is Headers or one of its groups, such
// as AWS. index is that of t in Headers.
func parametersOf(t reflect.Type, index []int) (all []parameter) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(index), i)
		name, option, _ := strings.Cut(f.Tag.Get("header"), ",")
		if name == "" {
			if f.Type.Kind() == reflect.Struct {
				all = append(all, parametersOf(f.Type, index)...)
			}
			continue
		}
		key := http.CanonicalHeaderKey(name)
		p := parameter{
			name:   name,
			key:    key,
			secret: option == "secret" || f.Type == reflect.TypeFor[Config](), // a config may hold keys
			list:   f.Type == reflect.TypeFor[[]string](),
			encode: encoders[key],
			index:  index,
		}
		if p.list && p.encode == nil {
			p.encode = checkNames
		}
		all = append(all, p)
	}
	return all
}

// Keys of headers that the code treats specially.
const (
	keyPrefix             = "X-Portkey-"
	keyAPIKey             = "X-Portkey-Api-Key"
	keyAuthorization      = "Authorization"
	keyAzureAuthMode      = "X-Portkey-Azure-Auth-Mode"
	keyAzureToken         = "X-Portkey-Azure-Ad-Token"
	keyBaggage            = "Baggage"
	keyAzureVersion       = "X-Portkey-Azure-Api-Version"
	keyAzureDeployment    = "X-Portkey-Azure-Deployment-Id"
	keyConfig             = "X-Portkey-Config"
	keyCustomHost         = "X-Portkey-Custom-Host"
	keyForceRefresh       = "X-Portkey-Cache-Force-Refresh"
	keyForward            = "X-Portkey-Forward-Headers"
	keyHuggingFaceURL     = "X-Portkey-Huggingface-Base-Url"
	keyMetadata           = "X-Portkey-Metadata"
	keyOpenAIOrganization = "X-Portkey-Openai-Organization"
	keyOpenAIProject      = "X-Portkey-Openai-Project"
	keyParentSpan         = "X-Portkey-Parent-Span-Id"
	keyProvider           = "X-Portkey-Provider"
	keyRequestTimeout     = "X-Portkey-Request-Timeout"
	keyServiceAccount     = "X-Portkey-Vertex-Service-Account-Json"
	keyTraceID            = "X-Portkey-Trace-Id"
	keyTraceparent        = "Traceparent"
	keyUploadSize         = "X-Portkey-File-Upload-Size"
	keyVirtualKey         = "X-Portkey-Virtual-Key"
)

// credentialKeys are the headers in which clients send a provider's credential.
var credentialKeys = [...]string{keyAuthorization, "Api-Key", "X-Api-Key", "X-Goog-Api-Key"}

// credentialIndex returns the index of key in credentialKeys, or -1.
func credentialIndex(key string) int { return slices.Index(credentialKeys[:], key) }

// isCanonical reports whether http.CanonicalHeaderKey would return key unchanged.
// It takes a fifth of the time. It may report false for an invalid key.
func isCanonical(key string) bool {
	first := true // of a word
	for i := range len(key) {
		c := key[i]
		if first {
			if 'a' <= c && c <= 'z' {
				return false
			}
		} else if 'A' <= c && c <= 'Z' {
			return false
		}
		first = c == '-'
	}
	return true
}

// isPortkey reports whether key, in any spelling, is that of an x-portkey-* header.
func isPortkey(key string) bool {
	return len(key) >= len(keyPrefix) && strings.EqualFold(key[:len(keyPrefix)], keyPrefix)
}

// resemblesPortkey is isPortkey, also for names with underscores: some servers convert
// those.
func resemblesPortkey(key string) bool { return isPortkey(strings.ReplaceAll(key, "_", "-")) }

// A headerSet holds the parameters of one level of precedence, checked and
// encoded: the request, its context, or Options.
type headerSet struct {
	traceID  string
	metadata []metadataPair
	fields   []headerField // all other headers

	// setsProvider reports whether a field decides which provider is called.
	setsProvider bool
}

// A headerField is one header, as it is sent.
type headerField struct {
	key       string // canonical
	value     string // "": the header is not sent, and lower levels are overridden
	isPortkey bool   // the key is that of an x-portkey-* header

	// portkeyHasCredential reports that this header makes Portkey use a credential
	// of its own, and not the client's.
	portkeyHasCredential bool

	// isCredential reports that the header has a credential of a provider, or decides
	// which one the gateway uses.
	isCredential bool
}

// get returns the field with the given key.
func (s *headerSet) get(key string) (headerField, bool) {
	for i := range s.fields {
		if s.fields[i].key == key {
			return s.fields[i], true
		}
	}
	return headerField{}, false
}

func (s *headerSet) has(key string) bool { _, ok := s.get(key); return ok }

// newHeaderSet checks and encodes h.
func newHeaderSet(h *Headers) (s headerSet, err error) {
	if s.metadata, err = newMetadata(h.Metadata); err != nil {
		return s, err
	}
	for p, f := range h.populatedFields {
		if p.key == keyMetadata {
			continue
		}
		if c, ok := f.Interface().(Config); ok {
			var field headerField
			if field, err = encodeField(c); err == nil {
				err = s.addField(field)
			}
		} else {
			err = s.add(p.key, fieldText(f))
		}
		if err != nil {
			return s, err
		}
	}
	size := 0
	for name, value := range h.Extra {
		size += fieldSize(name, value)
	}
	if size > maxHeaderBytes { // checked early: add takes quadratic time
		return s, &HeaderError{Name: "Extra", Reason: fmt.Sprintf("has %d bytes: gateways accept %d in all headers", size, maxHeaderBytes)}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Extra)) {
		key, value := http.CanonicalHeaderKey(name), h.Extra[name]
		if err := checkName(name); err != nil {
			return s, &HeaderError{Name: "Extra", Reason: err.Error()}
		}
		if reserved[key] {
			return s, &HeaderError{Name: strings.ToLower(key), Reason: "cannot be set: net/http writes it"}
		}
		if value == "" {
			continue
		}
		if err := s.add(key, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

// add checks and encodes a value, and adds it to s.
func (s *headerSet) add(key, value string) error {
	if key == keyMetadata {
		if s.metadata != nil {
			return errSetTwice(key)
		}
		var err error
		s.metadata, err = parseMetadata(value)
		return err
	}
	f, err := newHeaderField(key, value)
	if err != nil {
		return err
	}
	return s.addField(f)
}

func (s *headerSet) addField(f headerField) error {
	switch {
	case s.has(f.key) || f.key == keyTraceID && s.traceID != "":
		return errSetTwice(f.key)
	case f.key == keyTraceID:
		s.traceID = f.value
	default:
		s.fields = append(s.fields, f)
		isSlug := f.key == keyConfig && !isJSON(f.value)
		s.setsProvider = s.setsProvider || f.portkeyHasCredential || f.key == keyProvider || isSlug
	}
	return nil
}

func errSetTwice(key string) error {
	const reason = "is set twice: by its field and in Extra, or in Extra in two spellings"
	return &HeaderError{Name: strings.ToLower(key), Reason: reason}
}

// all yields all headers of s, without those of other levels.
func (s *headerSet) all(yield func(key, value string) bool) {
	for _, f := range s.fields {
		if f.value != "" && !yield(f.key, f.value) {
			return
		}
	}
	if s.traceID != "" && !yield(keyTraceID, s.traceID) {
		return
	}
	if len(s.metadata) > 0 {
		yield(keyMetadata, encodeMetadata(s.metadata))
	}
}

// inherit adds what outer sets and s does not.
func (s *headerSet) inherit(outer *headerSet) {
	if s.traceID == "" {
		s.traceID = outer.traceID
	}
	s.metadata = mergeMetadata(outer.metadata, s.metadata)
	s.setsProvider = s.setsProvider || outer.setsProvider
	if len(s.fields) == 0 {
		s.fields = outer.fields
		return
	}
	inner := *s
	for _, f := range outer.fields {
		if !inner.overrides(&f) {
			s.fields = append(s.fields, f)
		}
	}
}

// isProviderCredential reports whether a header has a credential of a provider, or decides
// which one the gateway uses.
func isProviderCredential(key string) bool {
	switch key {
	case keyAPIKey, keyConfig, keyVirtualKey:
		return false
	case keyAzureAuthMode:
		return true
	}
	return secretKeys[key]
}

// overrides reports whether a field of s takes the place of lower, a field of a lower
// level: it has the same key, or decides which credential is used, while lower is a
// credential that may be for another provider, or another tenant's.
func (s *headerSet) overrides(lower *headerField) bool {
	for i := range s.fields {
		f := &s.fields[i]
		if f.key == lower.key || lower.isCredential && (f.portkeyHasCredential || f.key == keyAuthorization) {
			return true
		}
	}
	return false
}

// populatedFields yields the fields of h that are set.
func (h *Headers) populatedFields(yield func(*parameter, reflect.Value) bool) {
	v := reflect.ValueOf(h).Elem()
	unset := -1 // the index of the last group without any value
	for i := range parameters {
		p := &parameters[i]
		group := p.index[0]
		if isFirst := len(p.index) > 1 && p.index[1] == 0; isFirst && v.Field(group).IsZero() {
			unset = group
		}
		if group == unset {
			continue
		}
		if f := v.FieldByIndex(p.index); isSet(f) && !yield(p, f) {
			return
		}
	}
}

// isSet reports whether a field of Headers is set: it is not nil, empty or zero.
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

// fieldText returns the value of a field as text.
func fieldText(f reflect.Value) string {
	switch v := f.Interface().(type) {
	case string:
		return v
	case *bool:
		return strconv.FormatBool(*v)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Duration:
		return strconv.FormatInt(roundUp(v, time.Millisecond), 10)
	case []string:
		return strings.Join(v, ",")
	}
	panic("portkey: a field of Headers has the unsupported type " + f.Type().String())
}

// roundUp returns d in units, rounded up: 0 would disable a timeout.
func roundUp(d, unit time.Duration) int64 {
	n := int64(d / unit)
	if d%unit > 0 {
		n++
	}
	return n
}

// newHeaderField checks and encodes a value.
func newHeaderField(key, value string) (headerField, error) {
	f := headerField{key: key, value: value, isPortkey: isPortkey(key), isCredential: isProviderCredential(key)}
	var err error
	if p := parametersByKey[key]; p != nil && p.encode != nil {
		err = p.encode(&f)
	}
	if err == nil {
		err = checkValue(f.value)
	}
	switch {
	case err == nil:
		return f, nil
	case key == keyConfig:
		return headerField{}, newConfigError(err.Error()).headerError()
	}
	return headerField{}, &HeaderError{Name: strings.ToLower(key), Reason: err.Error()}
}

// An encoder checks the value of a field and replaces it by its encoded form. The
// error does not contain the value.
type encoder func(f *headerField) error

// encoders contains the encoders of headers for which checkValue is not enough. The
// encoder of any other list is checkNames.
var encoders = map[string]encoder{
	keyAuthorization:  encodeAuthorization,
	keyConfig:         encodeConfig,
	keyCustomHost:     func(f *headerField) error { return configcheck.CheckCustomHost(f.value) },
	keyForceRefresh:   encodeForceRefresh,
	keyForward:        checkForwardHeaders,
	keyProvider:       func(f *headerField) error { f.portkeyHasCredential = isSavedProvider(f.value); return nil },
	keyRequestTimeout: checkRequestTimeout,
	keyServiceAccount: encodeServiceAccount,
	keyUploadSize:     checkUploadSize,
	keyVirtualKey:     func(f *headerField) error { f.portkeyHasCredential = true; return nil },
}

// encodeAuthorization refuses an API key without "Bearer". Other values without a scheme
// are sent as they are: some servers expect a token alone.
func encodeAuthorization(f *headerField) error {
	scheme, credential, hasScheme := strings.Cut(f.value, " ")
	switch {
	case !hasScheme && isAPIKey(f.value):
		return errors.New(`is an API key without a scheme: write "Bearer " before it`)
	case hasScheme && strings.EqualFold(scheme, "Bearer"): // which the gateway compares exactly
		f.value = "Bearer " + credential
	}
	return nil
}

// isAPIKey reports whether text looks like the API key of a provider, such as sk-...,
// gsk_... or AIza..., or like a JWT.
func isAPIKey(text string) bool {
	prefix := strings.TrimLeft(text, "0123456789abcdefghijklmnopqrstuvwxyz")
	hasPrefix := len(prefix) < len(text) && (strings.HasPrefix(prefix, "-") || strings.HasPrefix(prefix, "_"))
	return hasPrefix || strings.HasPrefix(text, "AIza") || strings.HasPrefix(text, "eyJ")
}

// encodeForceRefresh omits false: the gateway refreshes the cache if the header is
// present, with any value.
func encodeForceRefresh(f *headerField) error {
	switch strings.ToLower(f.value) {
	case "true":
		f.value = "true"
	case "false":
		f.value = ""
	default:
		return errors.New("must be true or false")
	}
	return nil
}

func encodeServiceAccount(f *headerField) (err error) {
	f.value, err = compactJSON(f.value)
	return err
}

func checkRequestTimeout(f *headerField) error {
	if ms, err := strconv.Atoi(f.value); err != nil || ms < 1 || ms > 1<<31-1 {
		return errors.New("must be 1 to 2147483647 milliseconds")
	}
	return nil
}

func checkUploadSize(f *headerField) error {
	if n, err := strconv.ParseInt(f.value, 10, 64); err != nil || n < 1 {
		return errors.New("must be a positive number of bytes")
	}
	return nil
}

// checkNames checks a list of names.
func checkNames(f *headerField) error {
	for name := range strings.SplitSeq(f.value, ",") {
		if err := checkName(strings.Trim(name, " ")); err != nil {
			return err
		}
	}
	return nil
}

// checkForwardHeaders refuses x-portkey-* headers, which must not leave the gateway,
// and headers that Portkey's documentation forbids, because they give access to the
// metadata service of a cloud. It also refuses Content-Length, with which the gateway
// fails.
func checkForwardHeaders(f *headerField) error {
	if err := checkNames(f); err != nil {
		return err
	}
	for name := range strings.SplitSeq(f.value, ",") {
		name = strings.ToLower(strings.Trim(name, " "))
		switch {
		case isPortkey(name):
			return errors.New("must not name an x-portkey-* header: those are for the gateway only")
		case unforwardable[name]:
			return errors.New("must not name " + name + ": it cannot be forwarded")
		}
	}
	return nil
}

var unforwardable = map[string]bool{
	"content-length": true, "metadata-flavor": true, "x-aws-ec2-metadata-token": true, "x-google-metadata-request": true,
}

// reserved are the headers that net/http writes, or that frame a message.
var reserved = map[string]bool{
	"Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Keep-Alive": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// checkValue checks a header value. It is stricter than net/http, which trims spaces
// and allows bytes that are not ASCII; the gateway decodes those as Latin-1 (see "trace
// in UTF-8" in TestPortkeytestAnswersAsTheGatewayDoes in interop/).
func checkValue(value string) error {
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ' || c == 0x7f:
			return errors.New("contains a control character")
		case c > 0x7f:
			return errors.New("contains a character that is not ASCII")
		}
	}
	if value != strings.Trim(value, " ") {
		return errors.New("starts or ends with a space")
	}
	return nil
}

// checkName checks a header name.
func checkName(name string) error {
	const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if name == "" || strings.Trim(name, tokenChars) != "" {
		return errors.New("has an invalid header name")
	}
	return nil
}

// detach replaces the pointers, slices and maps in h by copies, so that the caller can
// change the originals. config is the encoded form of h.Config, which replaces a
// ConfigObject.
func (h *Headers) detach(config string) {
	for _, f := range h.populatedFields {
		switch v := f.Interface().(type) {
		case *bool:
			f.Set(reflect.ValueOf(Ptr(*v)))
		case []string:
			f.Set(reflect.ValueOf(slices.Clone(v)))
		}
	}
	h.Metadata, h.Extra = maps.Clone(h.Metadata), maps.Clone(h.Extra)
	if config == "" {
		h.Config = nil
	} else if h.Config = plainConfig(h.Config); reflect.TypeOf(h.Config) == reflect.TypeFor[ConfigObject]() {
		h.Config = encodedObject(config)
	}
}

// merge copies the fields that inner sets to h. It merges Metadata and Extra key by key.
func (h *Headers) merge(inner *Headers) {
	extra := make(map[string]string, len(h.Extra)+len(inner.Extra))
	for _, m := range []map[string]string{h.Extra, inner.Extra} {
		for name, value := range m {
			if value != "" {
				extra[http.CanonicalHeaderKey(name)] = value
			}
		}
	}
	// A header is in its field or in Extra, wherever it was set last.
	dst := reflect.ValueOf(h).Elem()
	for key := range extra {
		if p := parametersByKey[key]; p != nil {
			dst.FieldByIndex(p.index).SetZero()
		}
	}
	for p, s := range inner.populatedFields {
		delete(extra, p.key)
		d := dst.FieldByIndex(p.index)
		switch v := s.Interface().(type) {
		case *bool:
			d.Set(reflect.ValueOf(Ptr(*v)))
		case []string:
			d.Set(reflect.ValueOf(slices.Clone(v)))
		case Metadata:
			if h.Metadata == nil {
				h.Metadata = make(Metadata, len(v))
			}
			maps.Copy(h.Metadata, v)
		case encodedObject:
			h.Config = v.decode()
		default:
			d.Set(s)
		}
	}
	if h.Extra = nil; len(extra) > 0 {
		h.Extra = extra
	}
}

// A metadataPair is one entry of metadata. Slices of them are sorted by key and
// have no duplicates, so that equal metadata is always encoded to the same bytes.
type metadataPair struct{ key, value string }

func newMetadata(m Metadata) ([]metadataPair, error) {
	if len(m) == 0 {
		return nil, nil
	}
	pairs := make([]metadataPair, 0, len(m))
	for k, v := range m {
		switch {
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return nil, metadataError("contains text that is not UTF-8")
		case utf8.RuneCountInString(v) > 128:
			return nil, metadataError("has a value of more than 128 characters")
		}
		pairs = append(pairs, metadataPair{k, v})
	}
	slices.SortFunc(pairs, func(a, b metadataPair) int { return strings.Compare(a.key, b.key) })
	return pairs, nil
}

// parseMetadata parses metadata that is given as text, on the request or in Extra.
func parseMetadata(text string) ([]metadataPair, error) {
	var parsed map[string]*string
	if err := json.Unmarshal([]byte(text), &parsed); err != nil || parsed == nil {
		return nil, metadataError("must be a JSON object whose values are strings")
	}
	m := make(Metadata, len(parsed))
	for k, v := range parsed {
		if v == nil {
			return nil, metadataError("must be a JSON object whose values are strings")
		}
		m[k] = *v
	}
	return newMetadata(m)
}

func metadataError(reason string) error {
	return &HeaderError{Name: strings.ToLower(keyMetadata), Reason: reason}
}

// mergeMetadata returns the entries of both; those of inner take precedence.
func mergeMetadata(outer, inner []metadataPair) []metadataPair {
	if len(outer) == 0 {
		return inner
	}
	if len(inner) == 0 {
		return outer
	}
	merged := make([]metadataPair, 0, len(outer)+len(inner))
	levels := [][]metadataPair{inner, outer}
	for p := nextPair(levels); p != nil; p = nextPair(levels) {
		merged = append(merged, *p)
	}
	return merged
}

// nextPair removes the smallest key from all levels and returns its pair in the first
// level that has it. It returns nil if all levels are empty.
func nextPair(levels [][]metadataPair) (next *metadataPair) {
	for _, level := range levels {
		if len(level) > 0 && (next == nil || level[0].key < next.key) {
			next = &level[0]
		}
	}
	for i, level := range levels {
		if len(level) > 0 && level[0].key == next.key {
			levels[i] = level[1:]
		}
	}
	return next
}

// encodeMetadata returns the merged entries as a JSON object in ASCII, or "" if
// no level has any. The first level takes precedence.
func encodeMetadata(levels ...[]metadataPair) string {
	n := 0
	for _, level := range levels {
		if len(level) > 0 {
			levels[n] = level
			n++
		}
	}
	if n == 0 {
		return ""
	}
	levels = levels[:n]
	var stack [512]byte
	b := append(stack[:0], '{')
	for p := nextPair(levels); p != nil; p = nextPair(levels) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, p.key), ':')
		b = appendJSONString(b, p.value)
	}
	return string(append(b, '}'))
}

// isPlain tells which bytes need no escape in a JSON string in ASCII.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// appendJSONString appends s, which is UTF-8, as a JSON string in ASCII.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		plain := 0 // the length of the prefix that needs no escape: usually all of s
		for plain < len(s) && isPlain[s[plain]] {
			plain++
		}
		b = append(b, s[:plain]...)
		if plain == len(s) {
			return append(b, '"')
		}
		r, size := utf8.DecodeRuneInString(s[plain:])
		if r == '"' || r == '\\' {
			b = append(b, '\\')
		}
		b = appendEscaped(b, r)
		s = s[plain+size:]
	}
}

// appendEscaped appends r to JSON text: unchanged if it is printable ASCII,
// escaped if not.
func appendEscaped(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r >= ' ' && r < 0x7f:
		return append(b, byte(r))
	case r > 0xffff:
		hi, lo := utf16.EncodeRune(r)
		return appendEscaped(appendEscaped(b, hi), lo)
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// isJSON reports whether text is a JSON object rather than a slug.
func isJSON(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
}

// compactJSON returns a JSON object as it is sent in a header: compact and in ASCII.
func compactJSON(text string) (string, error) {
	var compact bytes.Buffer
	if !isJSON(text) || !utf8.ValidString(text) || json.Compact(&compact, []byte(text)) != nil {
		return "", errors.New("must be a JSON object")
	}
	return asciiJSON(compact.String()), nil
}

// asciiJSON escapes the characters of compact JSON that are not ASCII. They occur
// only in strings.
func asciiJSON(text string) string {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = appendEscaped(b, r)
	}
	return string(b)
}
