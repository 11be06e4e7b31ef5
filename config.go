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

// Config is a gateway config: it tells the gateway how to handle a call, with
// retries, caching, fallbacks or load balancing. If nil, none is sent. It is a [ConfigSlug], a [ConfigJSON]
// or a [ConfigObject]. The header is x-portkey-config. Portkey documents configs at
// https://portkey.ai/docs/api-reference/inference-api/config-object.
type Config interface {
	encode() (headerField, error)
}

// ConfigSlug is the slug of a config that is saved at Portkey ("pc-..." or "cf-...").
// The open-source gateway has no saved configs: use a ConfigObject.
type ConfigSlug string

// ConfigJSON is a config object as JSON text. Only the gateway checks its contents;
// to check it earlier, decode it into a ConfigObject and call its Validate. It may contain API keys: it is
// redacted when printed or logged, but not when encoded with encoding/json.
type ConfigJSON string

// ConfigObject is a config object. A target has the same form: Targets are nested
// config objects. Zero fields are omitted. A field whose zero value is meaningful is
// a pointer; see [Ptr]. Other zero values can be set in Extra.
//
// Encoded with encoding/json, also by slog's JSON handler, it is what the gateway
// receives. JSON from Portkey's dashboard can be decoded into it: keys without a field
// are decoded into Extra, and encoded again. It may contain API keys: it is redacted
// when printed or logged in any other way.
type ConfigObject struct {
	// Strategy decides which of Targets are called.
	Strategy *Strategy      `json:"strategy"`
	Targets  []ConfigObject `json:"targets"`

	// Name is the name of a target, to which conditions refer.
	Name string `json:"name"`
	// Weight is the share of a target in mode loadbalance. The gateway's default is 1.
	Weight *float64 `json:"weight"`
	// OnStatusCodes are the response statuses on which a fallback calls the next target.
	OnStatusCodes []int `json:"on_status_codes"`

	// Provider is the name of a provider, or the "@slug" of one that is saved at Portkey.
	Provider string `json:"provider"`
	// APIKey is the provider's API key.
	APIKey string `json:"api_key"`
	// VirtualKey is the slug of a provider key that is saved at Portkey.
	VirtualKey string `json:"virtual_key"`
	// CustomHost is the base URL of a provider that is hosted elsewhere.
	CustomHost string `json:"custom_host"`
	// ForwardHeaders are the names of request headers that the gateway forwards to the
	// provider unchanged.
	ForwardHeaders []string `json:"forward_headers"`
	// PromptID is the ID of a prompt that is saved at Portkey.
	PromptID string `json:"prompt_id"`

	Cache *Cache `json:"cache"`
	Retry *Retry `json:"retry"`
	// CircuitBreaker excludes failing targets for some time. Only the hosted gateway has it.
	CircuitBreaker *CircuitBreaker `json:"cb_config"`
	// RequestTimeout is how long the gateway waits for the provider's response to begin,
	// in milliseconds.
	RequestTimeout float64 `json:"request_timeout"`
	// StrictOpenAICompliance, if false, allows responses with fields that OpenAI does not
	// have. The gateway's default is true.
	StrictOpenAICompliance *bool `json:"strict_open_ai_compliance"`

	// OverrideParams replace parameters in the request body, DefaultParams are added if
	// they are missing, and DropParams are removed.
	OverrideParams map[string]any `json:"override_params"`
	DefaultParams  map[string]any `json:"default_params"`
	DropParams     []string       `json:"drop_params"`

	// InputGuardrails and OutputGuardrails are either IDs of guardrails or objects.
	InputGuardrails  []any `json:"input_guardrails"`
	OutputGuardrails []any `json:"output_guardrails"`
	// BeforeRequestHooks and AfterRequestHooks are guardrails in their long form.
	BeforeRequestHooks []map[string]any `json:"before_request_hooks"`
	AfterRequestHooks  []map[string]any `json:"after_request_hooks"`

	// OpenAI.
	OpenAIOrganization string `json:"openai_organization"`
	OpenAIProject      string `json:"openai_project"`

	// Azure OpenAI and Azure AI.
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

	// Extra contains keys that have no field.
	Extra map[string]any `json:"-"`
}

// Strategy decides which targets of a config are called.
type Strategy struct {
	// Mode is single, loadbalance, fallback or conditional.
	Mode string `json:"mode"`
	// OnStatusCodes are the response statuses on which a fallback calls the next target.
	// The gateway's default is every status but 2xx.
	OnStatusCodes []int `json:"on_status_codes"`
	// Conditions are evaluated in order, in mode conditional.
	Conditions []Condition `json:"conditions"`
	// Default is the name of the target if no condition is true.
	Default string `json:"default"`
	// CircuitBreaker applies to all targets. Only the hosted gateway has it.
	CircuitBreaker *CircuitBreaker `json:"cb_config"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// Condition sends a call to the target named Then if Query is true for the call.
type Condition struct {
	Query Query  `json:"query"`
	Then  string `json:"then"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// Query is the query of a [Condition], or a part of it. It compares "metadata.KEY",
// "params.KEY" (a parameter in the request body) or "url.pathname" by $eq, $ne, $gt,
// $gte, $lt, $lte, $in, $nin or $regex: Query{"metadata.plan": Query{"$eq": "paid"}}.
// $and and $or combine a list of queries.
type Query map[string]any

// Cache makes the gateway answer equal requests from its cache.
type Cache struct {
	// Mode is simple, which compares requests exactly, or semantic, which compares
	// their meaning.
	Mode string `json:"mode"`
	// MaxAge is how long a response is cached: in seconds at the hosted gateway, in
	// milliseconds at the open-source one.
	MaxAge float64 `json:"max_age"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// Retry makes the gateway retry failed calls.
type Retry struct {
	// Attempts is the maximum number of retries. The gateway caps it at 5.
	Attempts int `json:"attempts"`
	// OnStatusCodes are the response statuses that are retried. The gateway's default is
	// 429, 500, 502, 503 and 504.
	OnStatusCodes []int `json:"on_status_codes"`
	// UseRetryAfterHeaders makes the gateway wait as long as the provider's Retry-After
	// says. The open-source gateway reads UseRetryAfterHeader instead.
	UseRetryAfterHeaders *bool `json:"use_retry_after_headers"`
	UseRetryAfterHeader  *bool `json:"use_retry_after_header"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// CircuitBreaker excludes a failing target for some time. Only the hosted gateway has it.
type CircuitBreaker struct {
	// FailureThreshold is the number of failures after which a target is excluded.
	FailureThreshold int `json:"failure_threshold"`
	// FailureThresholdPercentage is the percentage of failures after which it is excluded.
	FailureThresholdPercentage int `json:"failure_threshold_percentage"`
	// MinimumRequests is the number of requests before the percentage counts.
	MinimumRequests int `json:"minimum_requests"`
	// CooldownInterval is how long a target is excluded, in milliseconds. The minimum is
	// 30000.
	CooldownInterval int `json:"cooldown_interval"`
	// FailureStatusCodes are the response statuses that count as failures. The gateway's
	// default is every status above 500.
	FailureStatusCodes []int `json:"failure_status_codes"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// Validate returns a [*ConfigError] that lists everything that the gateway would
// refuse about c. NewTransport and RoundTrip call it. Virtual keys, "@slug" providers,
// and keys and providers that only the hosted gateway knows are accepted.
func (c ConfigObject) Validate() error {
	if _, err := c.encodeValid(); err != nil {
		return err
	}
	return nil
}

// ConfigError reports a config that the gateway would refuse, or that cannot be
// encoded. [ConfigObject.Validate] returns it. A [*HeaderError] for a config wraps it.
type ConfigError struct {
	Faults []ConfigFault // at least one
}

// ConfigFault is one value of a config that the gateway would refuse.
type ConfigFault struct {
	Path   string // of the value, such as "targets[1].strategy.mode"; "" for the whole config
	Reason string // what is wrong; it does not contain the value
}

// Error lists the first 20 faults, and the number of the others.
func (e *ConfigError) Error() string { return "portkey: invalid config: " + e.list() }

func (e *ConfigError) list() string {
	const most = 20
	var text strings.Builder
	for i, f := range e.Faults {
		if i == most {
			fmt.Fprintf(&text, "; and %d more", len(e.Faults)-most)
			break
		}
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(configcheck.Fault(f).String())
	}
	return text.String()
}

// newConfigError returns an error about a whole config.
func newConfigError(reason string) *ConfigError {
	return &ConfigError{[]ConfigFault{{Reason: reason}}}
}

func (e *ConfigError) headerError() error {
	return &HeaderError{Name: strings.ToLower(keyConfig), Reason: e.list(), config: e}
}

// plainConfig returns c as one of this package's types, and not as a pointer to
// one. It returns nil for any other type: one that embeds a Config could be printed
// with its secrets.
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
		return headerField{}, newConfigError("must be a ConfigSlug, ConfigJSON or ConfigObject").headerError()
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

func (c ConfigSlug) encode() (headerField, error) {
	if !c.isSlug() {
		return headerField{}, newConfigError("is a slug that looks like JSON: use ConfigJSON").headerError()
	}
	return newHeaderField(keyConfig, string(c))
}

func (c ConfigSlug) isSlug() bool { return !strings.ContainsAny(string(c), "{}[]\"") }

func (c ConfigJSON) encode() (headerField, error) {
	if !isJSON(string(c)) {
		return headerField{}, newConfigError("must be a JSON object").headerError()
	}
	return newHeaderField(keyConfig, string(c))
}

func (c ConfigObject) encode() (headerField, error) {
	f, err := c.encodeValid()
	if err != nil {
		return headerField{}, err.headerError()
	}
	return f, nil
}

// encodeValid marshals c once and parses the result once, to check it.
func (c ConfigObject) encodeValid() (headerField, *ConfigError) {
	b, err := json.Marshal(c)
	if err != nil { // whose text may contain a value
		return headerField{}, newConfigError("cannot be encoded: it has a key in Extra that has a field, " +
			"a value that JSON does not have, or more than 1000 targets")
	}
	if hasInvalidUTF8(b) {
		return headerField{}, newConfigError("contains text that is not UTF-8")
	}
	var object map[string]any
	if json.Unmarshal(b, &object) != nil {
		return headerField{}, newConfigError("contains a number that is too large")
	}
	if faults := configcheck.Check(object); len(faults) > 0 {
		err := new(ConfigError)
		for _, f := range faults {
			err.Faults = append(err.Faults, ConfigFault(f))
		}
		return headerField{}, err
	}
	return headerField{
		key:                  keyConfig,
		value:                asciiJSON(string(b)),
		isPortkey:            true,
		portkeyHasCredential: configcheck.NamesProvider(object),
	}, nil
}

// invalidUTF8 matches the escape that encoding/json writes for invalid UTF-8. A valid
// U+FFFD is not escaped.
var invalidUTF8 = regexp.MustCompile(`(^|[^\\])(\\\\)*\\ufffd`)

func hasInvalidUTF8(b []byte) bool {
	return bytes.Contains(b, []byte(`\ufffd`)) && invalidUTF8.Match(b)
}

// An encodedObject is the JSON of a ConfigObject: the copy that a context keeps.
type encodedObject string

func (e encodedObject) encode() (headerField, error) { return newHeaderField(keyConfig, string(e)) }

func (e encodedObject) decode() (c ConfigObject) {
	json.Unmarshal([]byte(e), &c) // no error: it was marshaled from a ConfigObject
	return c
}

// MarshalJSON returns c. It returns an error if c is not JSON.
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

// countTargets subtracts the number of all nested targets from *left. It stops and
// returns false when that becomes negative.
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

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (s *Strategy) UnmarshalJSON(b []byte) error {
	*s = Strategy{}
	return unmarshalPart(b, s, &s.Extra)
}

// MarshalJSON encodes c, including Extra.
func (c Condition) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (c *Condition) UnmarshalJSON(b []byte) error {
	*c = Condition{}
	return unmarshalPart(b, c, &c.Extra)
}

// MarshalJSON encodes c, including Extra.
func (c Cache) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (c *Cache) UnmarshalJSON(b []byte) error {
	*c = Cache{}
	return unmarshalPart(b, c, &c.Extra)
}

// MarshalJSON encodes r, including Extra.
func (r Retry) MarshalJSON() ([]byte, error) { return marshalPart(r) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (r *Retry) UnmarshalJSON(b []byte) error {
	*r = Retry{}
	return unmarshalPart(b, r, &r.Extra)
}

// MarshalJSON encodes c, including Extra.
func (c CircuitBreaker) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (c *CircuitBreaker) UnmarshalJSON(b []byte) error {
	*c = CircuitBreaker{}
	return unmarshalPart(b, c, &c.Extra)
}

// A part is one of the structs that a config consists of. Its JSON includes Extra.
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

// unmarshalPart decodes b into the fields of a part. It decodes a key into *extra if
// no field would encode its value to the same JSON again: the key is unknown, or the
// value is zero or of another type.
func unmarshalPart(b []byte, v any, extra *map[string]any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil || object == nil {
		return errors.New("portkey: a part of the config is not a JSON object")
	}
	value := reflect.ValueOf(v).Elem()
	fields := jsonFields(value.Type())
	for key, raw := range object {
		var decoded any
		if err := unmarshalUseNumber(raw, &decoded); err != nil {
			return err
		}
		if i := slices.IndexFunc(fields, func(f jsonField) bool { return f.key == key }); i >= 0 {
			f := value.Field(fields[i].index)
			// If raw has a key twice, the last one counts: the field must not see the first.
			unique, err := json.Marshal(decoded)
			if err == nil && unmarshalUseNumber(unique, f.Addr().Interface()) == nil && !f.IsZero() && encodesTo(f, unique) {
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

// encodesTo reports whether a field encodes to the same JSON value as raw. For example,
// a list of strings does not if raw contains null.
func encodesTo(f reflect.Value, raw []byte) bool {
	b, err := json.Marshal(f.Interface())
	var encoded, want any
	return err == nil && json.Unmarshal(b, &encoded) == nil && json.Unmarshal(raw, &want) == nil &&
		reflect.DeepEqual(encoded, want)
}

// unmarshalUseNumber is json.Unmarshal, except that it decodes numbers to json.Number.
func unmarshalUseNumber(b []byte, v any) error {
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
