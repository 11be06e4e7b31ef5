package portkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"strings"
)

// Config is a gateway config, which says what the gateway does with a call:
// retries, caching, fallbacks, load balancing. It is a [ConfigSlug], a
// [ConfigJSON] or a [ConfigObject]. Header x-portkey-config. It is documented at
// https://portkey.ai/docs/api-reference/inference-api/config-object.
type Config interface {
	text() (text, fault string)
	clone() Config // shares nothing with the caller
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

// Validate says what the gateway would refuse about c: all of it, with the path
// of each fault ("targets[1].strategy.mode"), in a [*HeaderError]. NewTransport
// and RoundTrip call it. What only the hosted gateway knows (virtual keys,
// "@slug" providers, further providers and keys) is let through.
func (c ConfigObject) Validate() error {
	if _, fault := c.text(); fault != "" {
		return &HeaderError{strings.ToLower(keyConfig), fault}
	}
	return nil
}

// plainConfig returns c as one of this package's types, not a pointer to one;
// nil if it is another, which embeds a Config and would print what it holds.
func plainConfig(c Config) Config {
	switch c := c.(type) {
	case ConfigSlug, ConfigJSON, ConfigObject:
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

func (c ConfigSlug) clone() Config { return c }
func (c ConfigJSON) clone() Config { return c }

func (c ConfigObject) clone() Config {
	var own ConfigObject
	if b, err := json.Marshal(c); err == nil {
		json.Unmarshal(b, &own)
	}
	return own
}

func (c ConfigSlug) text() (text, fault string) {
	if !c.isSlug() {
		return "", "is a slug that looks like JSON: use ConfigJSON"
	}
	return string(c), ""
}

func (c ConfigSlug) isSlug() bool { return !strings.ContainsAny(string(c), "{}[]\"") }

func (c ConfigJSON) text() (text, fault string) {
	if !isJSON(string(c)) {
		return "", "is not a JSON object"
	}
	return string(c), ""
}

func (c ConfigObject) text() (text, fault string) {
	b, err := json.Marshal(c)
	if err != nil {
		// The error itself may show a value.
		return "", "cannot be encoded: it has a key in Extra beside its field, a value that is no JSON, or over 1000 targets"
	}
	if notUTF8.Match(b) {
		return "", "has text that is not UTF-8"
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		return "", "cannot be read again as JSON" // a number beyond float64
	}
	return string(b), strings.Join(configFaults(object), "; ")
}

// notUTF8 finds what encoding/json puts in the place of such text. U+FFFD itself
// it leaves as it is.
var notUTF8 = regexp.MustCompile(`(^|[^\\])(\\\\)*\\ufffd`)

// isJSON tells a config object from a slug.
func isJSON(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
}

// configWire returns the form in which x-portkey-config carries text: a slug as
// it is, an object compact and in ASCII. holds says that the object itself names
// whose credential is used: then the client's own must not be sent along.
func configWire(text string) (wire string, holds bool, fault string) {
	if !isJSON(text) {
		return text, false, ""
	}
	if wire, fault = jsonWire(text); fault != "" {
		return "", false, fault
	}
	var object map[string]any
	if json.Unmarshal([]byte(wire), &object) != nil {
		return "", false, "is not a JSON object"
	}
	return wire, isHeld(object) || truthy(object["provider"]) || object["targets"] != nil, ""
}

// MarshalJSON returns c itself, compacted.
func (c ConfigJSON) MarshalJSON() ([]byte, error) {
	if !json.Valid([]byte(c)) {
		return nil, errors.New("portkey: ConfigJSON is not JSON")
	}
	return []byte(c), nil
}

// Each struct of a config has an Extra, which takes part in its JSON.

// MarshalJSON encodes c as the gateway reads it, keys sorted.
func (c ConfigObject) MarshalJSON() ([]byte, error) {
	if left := 1000; !c.countTargets(&left) {
		return nil, errors.New("portkey: a config has more than 1000 targets") // or contains itself
	}
	return marshalFields(c, c.Extra)
}

func (c *ConfigObject) countTargets(left *int) bool {
	for i := range c.Targets {
		if *left--; *left < 0 || !c.Targets[i].countTargets(left) {
			return false
		}
	}
	return true
}

// UnmarshalJSON decodes a config. What has no field, or does not fit into it,
// lands in Extra, with numbers as json.Number; Validate has an eye on that too.
func (c *ConfigObject) UnmarshalJSON(b []byte) error {
	*c = ConfigObject{}
	return unmarshalFields(b, c, &c.Extra)
}

// MarshalJSON encodes s with its Extra.
func (s Strategy) MarshalJSON() ([]byte, error) { return marshalFields(s, s.Extra) }

// UnmarshalJSON decodes as that of ConfigObject does.
func (s *Strategy) UnmarshalJSON(b []byte) error {
	*s = Strategy{}
	return unmarshalFields(b, s, &s.Extra)
}

// MarshalJSON encodes c with its Extra.
func (c Condition) MarshalJSON() ([]byte, error) { return marshalFields(c, c.Extra) }

// UnmarshalJSON decodes as that of ConfigObject does.
func (c *Condition) UnmarshalJSON(b []byte) error {
	*c = Condition{}
	return unmarshalFields(b, c, &c.Extra)
}

// MarshalJSON encodes c with its Extra.
func (c Cache) MarshalJSON() ([]byte, error) { return marshalFields(c, c.Extra) }

// UnmarshalJSON decodes as that of ConfigObject does.
func (c *Cache) UnmarshalJSON(b []byte) error {
	*c = Cache{}
	return unmarshalFields(b, c, &c.Extra)
}

// MarshalJSON encodes r with its Extra.
func (r Retry) MarshalJSON() ([]byte, error) { return marshalFields(r, r.Extra) }

// UnmarshalJSON decodes as that of ConfigObject does.
func (r *Retry) UnmarshalJSON(b []byte) error {
	*r = Retry{}
	return unmarshalFields(b, r, &r.Extra)
}

// MarshalJSON encodes c with its Extra.
func (c CircuitBreaker) MarshalJSON() ([]byte, error) { return marshalFields(c, c.Extra) }

// UnmarshalJSON decodes as that of ConfigObject does.
func (c *CircuitBreaker) UnmarshalJSON(b []byte) error {
	*c = CircuitBreaker{}
	return unmarshalFields(b, c, &c.Extra)
}

// marshalFields encodes the fields of a struct that are set, and extra, as one object.
func marshalFields(v any, extra map[string]any) ([]byte, error) {
	object := maps.Clone(extra)
	if object == nil {
		object = make(map[string]any)
	}
	for key, f := range jsonFields(reflect.ValueOf(v)) {
		if f.IsZero() {
			continue
		}
		if _, twice := extra[key]; twice {
			return nil, errors.New("portkey: a config says " + key + " in its field and in Extra")
		}
		object[key] = f.Interface()
	}
	return json.Marshal(object)
}

// unmarshalFields decodes b into the fields of a struct, and into *extra what
// they would not encode again as it was: unknown keys, zeros, other types.
func unmarshalFields(b []byte, v any, extra *map[string]any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil || object == nil {
		return errors.New("portkey: a part of the config is not a JSON object")
	}
	fields := jsonFields(reflect.ValueOf(v).Elem())
	for key, raw := range object {
		var value any
		if err := decodeNumbers(raw, &value); err != nil {
			return err
		}
		if f, ok := fields[key]; ok {
			once, err := json.Marshal(value) // of a key that is in it twice, the last: it decides alone
			if err == nil && decodeNumbers(once, f.Addr().Interface()) == nil && !f.IsZero() && encodesAs(f, once) {
				continue
			}
			f.SetZero()
		}
		if *extra == nil {
			*extra = make(map[string]any)
		}
		(*extra)[key] = value
	}
	return nil
}

// encodesAs reports whether a field's JSON says the same as raw: a null in a list
// of strings has become an empty one.
func encodesAs(f reflect.Value, raw []byte) bool {
	b, err := json.Marshal(f.Interface())
	var now, then any
	return err == nil && json.Unmarshal(b, &now) == nil && json.Unmarshal(raw, &then) == nil && reflect.DeepEqual(now, then)
}

// decodeNumbers is json.Unmarshal that keeps numbers as they are.
func decodeNumbers(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

func jsonFields(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("json"); key != "-" {
			fields[key] = v.Field(i)
		}
	}
	return fields
}
