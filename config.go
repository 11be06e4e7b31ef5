package portkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/portkey-go/portkey/internal/configcheck"
)

// Config is a gateway config, which says what the gateway does with a call:
// retries, caching, fallbacks, load balancing. It is a [ConfigSlug], a
// [ConfigJSON] or a [ConfigObject]. Header x-portkey-config. It is documented at
// https://portkey.ai/docs/api-reference/inference-api/config-object.
type Config interface {
	encode() (headerField, error)
}

// ConfigSlug names a config that is saved at Portkey: "cf-..." or "pc-...".
// A self-hosted open-source gateway knows none: give it a ConfigObject.
type ConfigSlug string

// ConfigJSON is a config object as JSON text. What it says is left to the gateway
// to check; decoded into a ConfigObject it can be checked here. It may hold
// providers' keys: printed or logged it is redacted, and only its JSON encoding
// is the text itself.
type ConfigJSON string

// ConfigObject is a config object. It is a target as well: Targets nests them.
// What is zero is left out, and what has to be said though it is zero is a
// pointer, or goes into Extra.
//
// Its JSON is its wire form. JSON from Portkey's dashboard can be decoded into
// it; what has no field lands in Extra, and is encoded again. Printed or logged
// it is redacted, since it may hold providers' keys; but where encoding/json
// encodes a value that contains one, as slog's JSON handler does, that is its JSON.
type ConfigObject struct {
	// Strategy says how Targets are used.
	Strategy *Strategy      `json:"strategy"`
	Targets  []ConfigObject `json:"targets"`

	// Name is what conditions call the target.
	Name string `json:"name"`
	// Weight is the target's share in strategy loadbalance; the gateway's default is 1.
	Weight *float64 `json:"weight"`
	// OnStatusCodes are the statuses after which a fallback goes on.
	OnStatusCodes []int `json:"on_status_codes"`

	// Provider is a provider's name, or "@slug" for one that is set up at Portkey.
	Provider string `json:"provider"`
	// APIKey is the provider's key.
	APIKey string `json:"api_key"`
	// VirtualKey is the slug of a key that Portkey keeps.
	VirtualKey string `json:"virtual_key"`
	// CustomHost is the provider's base URL, if it is hosted elsewhere.
	CustomHost string `json:"custom_host"`
	// ForwardHeaders names the headers that are handed on to the provider.
	ForwardHeaders []string `json:"forward_headers"`
	// PromptID is a prompt that is saved at Portkey.
	PromptID string `json:"prompt_id"`

	Cache *Cache `json:"cache"`
	Retry *Retry `json:"retry"`
	// CircuitBreaker takes failing targets out for a while. Hosted gateway only.
	CircuitBreaker *CircuitBreaker `json:"cb_config"`
	// RequestTimeout is in milliseconds, until the provider's response begins.
	RequestTimeout float64 `json:"request_timeout"`
	// StrictOpenAICompliance false lets answers have fields that OpenAI does not have.
	StrictOpenAICompliance *bool `json:"strict_open_ai_compliance"`

	// OverrideParams go before the parameters in the request's body,
	// DefaultParams after them, and DropParams are taken out.
	OverrideParams map[string]any `json:"override_params"`
	DefaultParams  map[string]any `json:"default_params"`
	DropParams     []string       `json:"drop_params"`

	// InputGuardrails and OutputGuardrails are the guardrails' IDs, or an object each.
	InputGuardrails  []any `json:"input_guardrails"`
	OutputGuardrails []any `json:"output_guardrails"`
	// BeforeRequestHooks and AfterRequestHooks are the longer form of guardrails.
	BeforeRequestHooks []map[string]any `json:"before_request_hooks"`
	AfterRequestHooks  []map[string]any `json:"after_request_hooks"`

	OpenAIOrganization string `json:"openai_organization"`
	OpenAIProject      string `json:"openai_project"`

	// Azure OpenAI.
	AzureResourceName   string `json:"azure_resource_name"`
	AzureDeploymentID   string `json:"azure_deployment_id"`
	AzureAPIVersion     string `json:"azure_api_version"`
	AzureModelName      string `json:"azure_model_name"`
	AzureAuthMode       string `json:"azure_auth_mode"`
	AzureEndpointName   string `json:"azure_endpoint_name"`
	AzureRegion         string `json:"azure_region"`
	AzureDeploymentName string `json:"azure_deployment_name"`
	AzureDeploymentType string `json:"azure_deployment_type"` // serverless or managed

	// Bedrock.
	AWSAccessKeyID     string `json:"aws_access_key_id"`
	AWSSecretAccessKey string `json:"aws_secret_access_key"`
	AWSRegion          string `json:"aws_region"`
	AWSSessionToken    string `json:"aws_session_token"`

	// Vertex AI. VertexServiceAccountJSON is the content of a key file.
	VertexProjectID          string            `json:"vertex_project_id"`
	VertexRegion             string            `json:"vertex_region"`
	VertexServiceAccountJSON map[string]string `json:"vertex_service_account_json"`

	// Extra is what is newer than this library, by its key in the config.
	Extra map[string]any `json:"-"`
}

// Strategy says how a config's targets are used.
type Strategy struct {
	// Mode is single, loadbalance, fallback or conditional.
	Mode string `json:"mode"`
	// OnStatusCodes are the statuses after which a fallback goes on; the
	// gateway's default is all that are not 2xx.
	OnStatusCodes []int `json:"on_status_codes"`
	// Conditions are tried in order in mode conditional.
	Conditions []Condition `json:"conditions"`
	// Default is the name of the target when no condition holds.
	Default string `json:"default"`
	// CircuitBreaker is for all targets. Hosted gateway only.
	CircuitBreaker *CircuitBreaker `json:"cb_config"`

	Extra map[string]any `json:"-"` // what is newer than this library
}

// Condition sends the calls for which Query holds to the target named Then.
type Condition struct {
	// Query compares "metadata.KEY", "params.KEY" (of the request's body) or
	// "url.pathname", by $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin or $regex; $and
	// and $or join queries: Query{"metadata.plan": Query{"$eq": "paid"}}.
	Query Query  `json:"query"`
	Then  string `json:"then"`

	Extra map[string]any `json:"-"` // what is newer than this library
}

// Query is a query of a [Condition], or a part of one.
type Query map[string]any

// Cache has the gateway answer equal requests from its cache.
type Cache struct {
	// Mode is simple, for equal requests, or semantic, for requests that mean the same.
	Mode string `json:"mode"`
	// MaxAge is how long an answer is kept, as the gateway counts it: in
	// milliseconds at the open-source one, in seconds at the hosted one.
	MaxAge float64 `json:"max_age"`

	Extra map[string]any `json:"-"` // what is newer than this library
}

// Retry has the gateway try again.
type Retry struct {
	// Attempts is how often, beyond the first attempt; the gateway does at most 5.
	Attempts int `json:"attempts"`
	// OnStatusCodes are the statuses after which it does. The gateway's default
	// is 429, 500, 502, 503 and 504.
	OnStatusCodes []int `json:"on_status_codes"`
	// UseRetryAfterHeaders has the provider's Retry-After decide on the wait: for
	// the hosted gateway, whose key it is, and UseRetryAfterHeader for the
	// open-source one.
	UseRetryAfterHeaders *bool `json:"use_retry_after_headers"`
	UseRetryAfterHeader  *bool `json:"use_retry_after_header"`

	Extra map[string]any `json:"-"` // what is newer than this library
}

// CircuitBreaker takes a target out that fails. Hosted gateway only.
type CircuitBreaker struct {
	FailureThreshold           int   `json:"failure_threshold"`
	FailureThresholdPercentage int   `json:"failure_threshold_percentage"`
	MinimumRequests            int   `json:"minimum_requests"`
	CooldownInterval           int   `json:"cooldown_interval"`    // milliseconds, 30000 at least
	FailureStatusCodes         []int `json:"failure_status_codes"` // default: above 500

	Extra map[string]any `json:"-"` // what is newer than this library
}

// Validate returns a [*HeaderError] that lists everything that the gateway would
// refuse about c, each with its path ("targets[1].strategy.mode"). NewTransport
// and RoundTrip call it. Virtual keys, "@slug" providers, and keys and providers
// that only the hosted gateway knows are accepted.
func (c ConfigObject) Validate() error {
	_, err := c.encode()
	return err
}

// plainConfig returns c as one of this package's types, and not as a pointer to
// one. It returns nil for any other type: one that embeds a Config would print
// what it holds.
func plainConfig(c Config) Config {
	switch c := c.(type) {
	case ConfigSlug, ConfigJSON, ConfigObject, encodedObject:
		return c
	case *ConfigSlug:
		return *c
	case *ConfigJSON:
		return *c
	case *ConfigObject:
		return *c
	}
	return nil
}

// encodeField checks and encodes the Config of a Headers.
func encodeField(c Config) (headerField, error) {
	if c = plainConfig(c); c == nil {
		return headerField{}, configError("must be a ConfigSlug, ConfigJSON or ConfigObject")
	}
	return c.encode()
}

// encodeConfig checks and encodes a config that is given as text: a slug, or a
// JSON object, which is left to the gateway to check.
func encodeConfig(f *headerField) error {
	if !isJSON(f.value) {
		return nil
	}
	text, err := compactJSON(f.value)
	if err != nil {
		return err
	}
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) != nil {
		return errors.New("must be a JSON object")
	}
	f.value, f.portkeyHasCredential = text, configcheck.NamesProvider(object)
	return nil
}

func configError(reason string) error { return &HeaderError{strings.ToLower(keyConfig), reason} }

func (c ConfigSlug) encode() (headerField, error) {
	if !c.isSlug() {
		return headerField{}, configError("is a slug that looks like JSON: use ConfigJSON")
	}
	return newHeaderField(keyConfig, string(c))
}

func (c ConfigSlug) isSlug() bool { return !strings.ContainsAny(string(c), "{}[]\"") }

func (c ConfigJSON) encode() (headerField, error) {
	if !isJSON(string(c)) {
		return headerField{}, configError("must be a JSON object")
	}
	return newHeaderField(keyConfig, string(c))
}

// encode marshals c once and parses the result once, to check it.
func (c ConfigObject) encode() (headerField, error) {
	b, err := json.Marshal(c)
	if err != nil { // whose text may contain a value
		return headerField{}, configError("cannot be encoded: it has a key in Extra that has a field, " +
			"a value that JSON does not have, or more than 1000 targets")
	}
	if hasReplacement(b) {
		return headerField{}, configError("contains text that is not UTF-8")
	}
	var object map[string]any
	if json.Unmarshal(b, &object) != nil {
		return headerField{}, configError("contains a number that is too large")
	}
	if faults := configcheck.Check(object); len(faults) > 0 {
		return headerField{}, configError(joinFaults(faults))
	}
	return headerField{
		key:                  keyConfig,
		value:                asciiJSON(string(b)),
		isPortkey:            true,
		portkeyHasCredential: configcheck.NamesProvider(object),
	}, nil
}

// joinFaults returns the first 20 faults as text.
func joinFaults(faults []configcheck.Fault) string {
	const most = 20
	var text strings.Builder
	for i, f := range faults {
		if i == most {
			fmt.Fprintf(&text, "; and %d more", len(faults)-most)
			break
		}
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(f.String())
	}
	return text.String()
}

// invalidUTF8 matches the escape that encoding/json writes for invalid UTF-8. It
// does not escape a valid U+FFFD.
var invalidUTF8 = regexp.MustCompile(`(^|[^\\])(\\\\)*\\ufffd`)

func hasReplacement(b []byte) bool {
	return bytes.Contains(b, []byte(`\ufffd`)) && invalidUTF8.Match(b)
}

// An encodedObject is the JSON of a ConfigObject: the copy that a context keeps.
type encodedObject string

func (e encodedObject) encode() (headerField, error) { return newHeaderField(keyConfig, string(e)) }

func (e encodedObject) decode() (c ConfigObject) {
	json.Unmarshal([]byte(e), &c) // no error: it was marshaled from a ConfigObject
	return c
}

// MarshalJSON returns c itself, compacted.
func (c ConfigJSON) MarshalJSON() ([]byte, error) {
	if !json.Valid([]byte(c)) {
		return nil, errors.New("portkey: ConfigJSON is not JSON")
	}
	return []byte(c), nil
}

// MarshalJSON encodes c as the gateway reads it, with sorted keys.
func (c ConfigObject) MarshalJSON() ([]byte, error) {
	if left := 1000; !c.countTargets(&left) {
		return nil, errors.New("portkey: a config has more than 1000 targets") // or contains itself
	}
	return marshalPart(c)
}

func (c *ConfigObject) countTargets(left *int) bool {
	for i := range c.Targets {
		if *left--; *left < 0 || !c.Targets[i].countTargets(left) {
			return false
		}
	}
	return true
}

// UnmarshalJSON decodes a config. It decodes a key that has no field, or whose value
// does not fit into the field, into Extra, with numbers as json.Number. Validate
// checks those as well.
func (c *ConfigObject) UnmarshalJSON(b []byte) error {
	*c = ConfigObject{}
	return unmarshalPart(b, c, &c.Extra)
}

// MarshalJSON encodes s, including Extra.
func (s Strategy) MarshalJSON() ([]byte, error) { return marshalPart(s) }

// UnmarshalJSON decodes like that of ConfigObject.
func (s *Strategy) UnmarshalJSON(b []byte) error {
	*s = Strategy{}
	return unmarshalPart(b, s, &s.Extra)
}

// MarshalJSON encodes c, including Extra.
func (c Condition) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON decodes like that of ConfigObject.
func (c *Condition) UnmarshalJSON(b []byte) error {
	*c = Condition{}
	return unmarshalPart(b, c, &c.Extra)
}

// MarshalJSON encodes c, including Extra.
func (c Cache) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON decodes like that of ConfigObject.
func (c *Cache) UnmarshalJSON(b []byte) error {
	*c = Cache{}
	return unmarshalPart(b, c, &c.Extra)
}

// MarshalJSON encodes r, including Extra.
func (r Retry) MarshalJSON() ([]byte, error) { return marshalPart(r) }

// UnmarshalJSON decodes like that of ConfigObject.
func (r *Retry) UnmarshalJSON(b []byte) error {
	*r = Retry{}
	return unmarshalPart(b, r, &r.Extra)
}

// MarshalJSON encodes c, including Extra.
func (c CircuitBreaker) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON decodes like that of ConfigObject.
func (c *CircuitBreaker) UnmarshalJSON(b []byte) error {
	*c = CircuitBreaker{}
	return unmarshalPart(b, c, &c.Extra)
}

// A part is a struct of a config. Its Extra is part of its JSON.
type part interface{ extra() map[string]any }

func (c ConfigObject) extra() map[string]any   { return c.Extra }
func (s Strategy) extra() map[string]any       { return s.Extra }
func (c Condition) extra() map[string]any      { return c.Extra }
func (c Cache) extra() map[string]any          { return c.Extra }
func (r Retry) extra() map[string]any          { return r.Extra }
func (c CircuitBreaker) extra() map[string]any { return c.Extra }

// marshalPart encodes p and its parts in one pass. If encoding/json called
// MarshalJSON for each part, it would check and copy the inner ones again.
func marshalPart(p part) ([]byte, error) {
	object, err := objectOf(p)
	if err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// objectOf returns the fields of p that are not zero, and its Extra.
func objectOf(p part) (map[string]any, error) {
	extra := p.extra()
	object := make(map[string]any, len(extra)+8)
	maps.Copy(object, extra)
	value := reflect.Indirect(reflect.ValueOf(p))
	for _, field := range jsonFields(value.Type()) {
		f := value.Field(field.index)
		if f.IsZero() {
			continue
		}
		if _, ok := extra[field.key]; ok {
			return nil, errors.New("portkey: a config has the key " + field.key + " in its field and in Extra")
		}
		var err error
		switch v := f.Interface().(type) {
		case part:
			object[field.key], err = objectOf(v)
		case []ConfigObject:
			object[field.key], err = objectsOf(v)
		case []Condition:
			object[field.key], err = objectsOf(v)
		default:
			object[field.key] = v
		}
		if err != nil {
			return nil, err
		}
	}
	return object, nil
}

func objectsOf[P part](parts []P) (objects []map[string]any, err error) {
	objects = make([]map[string]any, len(parts))
	for i, p := range parts {
		if objects[i], err = objectOf(p); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// unmarshalPart decodes b into the fields of a part. Into *extra it decodes
// what the fields would not encode to the same JSON again: unknown keys, zero
// values and values of another type.
func unmarshalPart(b []byte, v any, extra *map[string]any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil || object == nil {
		return errors.New("portkey: a part of the config is not a JSON object")
	}
	value := reflect.ValueOf(v).Elem()
	fields := jsonFields(value.Type())
	for key, raw := range object {
		var decoded any
		if err := decodeNumbers(raw, &decoded); err != nil {
			return err
		}
		if i := slices.IndexFunc(fields, func(f jsonField) bool { return f.key == key }); i >= 0 {
			f := value.Field(fields[i].index)
			// If raw has a key twice, the last one counts: the field must not see the first.
			unique, err := json.Marshal(decoded)
			if err == nil && decodeNumbers(unique, f.Addr().Interface()) == nil && !f.IsZero() && encodesTo(f, unique) {
				continue
			}
			f.SetZero()
		}
		if *extra == nil {
			*extra = make(map[string]any)
		}
		(*extra)[key] = decoded
	}
	return nil
}

// encodesTo reports whether a field encodes to the same JSON value as raw. A list
// of strings does not, for example, if raw contains null.
func encodesTo(f reflect.Value, raw []byte) bool {
	b, err := json.Marshal(f.Interface())
	var encoded, want any
	return err == nil && json.Unmarshal(b, &encoded) == nil && json.Unmarshal(raw, &want) == nil && reflect.DeepEqual(encoded, want)
}

// decodeNumbers is json.Unmarshal, except that it decodes numbers to json.Number.
func decodeNumbers(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

// A jsonField is a field of a part.
type jsonField struct {
	key   string
	index int
}

var jsonFieldsCache sync.Map // of []jsonField, by reflect.Type

func jsonFields(t reflect.Type) (fields []jsonField) {
	if cached, ok := jsonFieldsCache.Load(t); ok {
		return cached.([]jsonField)
	}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("json"); key != "-" {
			fields = append(fields, jsonField{key, i})
		}
	}
	jsonFieldsCache.Store(t, fields)
	return fields
}
