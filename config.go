package portkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

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
// when printed or logged in any other way. Its JSON may be nested 64 levels deep: each
// object and each list is a level.
type ConfigObject struct {
	// Strategy decides which of Targets are called.
	Strategy *Strategy      `json:"strategy"`
	Targets  []ConfigObject `json:"targets"`

	// Name is the name of a target, to which conditions refer.
	Name string `json:"name"`
	// Weight is the share of a target in mode loadbalance, relative to the weights of the
	// others. The gateway's default is 1; a target with weight 0 is not called.
	Weight *float64 `json:"weight"`
	// OnStatusCodes are the response statuses on which a fallback calls the next target.
	OnStatusCodes []int `json:"on_status_codes"`

	// Provider is the name of a provider, or the "@slug" of one that is saved at Portkey.
	Provider string `json:"provider"`
	// APIKey is the provider's API key.
	APIKey string `json:"api_key"`
	// VirtualKey is the slug of a provider key that is saved at Portkey.
	VirtualKey string `json:"virtual_key"`
	// Passthrough, if true, leaves the provider of a target to the request: to
	// Headers.Provider, which must be an "@slug", or to a model "@slug/model". A Transport
	// adds no provider of its own to a request whose config has targets. Only the hosted
	// gateway has it.
	Passthrough *bool `json:"passthrough"`
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
	// RequestTimeout is how long the gateway waits for the provider's response to begin;
	// then it responds with status 408. Targets inherit it. In JSON it is a number of
	// milliseconds, rounded up.
	RequestTimeout time.Duration `json:"request_timeout"`
	// StrictOpenAICompliance has the meaning of Headers.StrictOpenAICompliance. The gateway
	// is strict unless one of the two is false.
	StrictOpenAICompliance *bool `json:"strict_open_ai_compliance"`
	// FetchIntegratedModels makes GET /v1/models list the models of the workspace's catalog
	// instead of asking the provider: those of the providers that the config names. Targets
	// then need no Strategy. Only the hosted gateway has it.
	FetchIntegratedModels *bool `json:"fetch_integrated_models"`

	// OverrideParams replace parameters in the request body. Before that, DefaultParams are
	// added if they are missing; after that, DropParams are removed: paths such as
	// "logprobs", "tools[0].function.strict" and "tools[*].function.strict". Targets inherit
	// all three. Only the hosted gateway has DefaultParams and DropParams.
	OverrideParams map[string]any `json:"override_params"`
	DefaultParams  map[string]any `json:"default_params"`
	DropParams     []string       `json:"drop_params"`

	// InputGuardrails and OutputGuardrails are IDs of guardrails or objects. The open-source
	// gateway refuses a list that has both.
	InputGuardrails  []any `json:"input_guardrails"`
	OutputGuardrails []any `json:"output_guardrails"`
	// BeforeRequestHooks and AfterRequestHooks are guardrails in their long form.
	BeforeRequestHooks []map[string]any `json:"before_request_hooks"`
	AfterRequestHooks  []map[string]any `json:"after_request_hooks"`

	// OpenAI.
	OpenAIOrganization string `json:"openai_organization"`
	OpenAIProject      string `json:"openai_project"`

	// Azure OpenAI, by the names of the config schema that Portkey publishes. The
	// open-source gateway reads the first three. It ignores AzureResourceName,
	// AzureDeploymentID and AzureAPIVersion, which have the names of the headers.
	ResourceName string       `json:"resource_name"`
	DeploymentID string       `json:"deployment_id"`
	APIVersion   string       `json:"api_version"`
	Deployments  []Deployment `json:"deployments"`

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

	// Bedrock and SageMaker.
	AWSAccessKeyID              string `json:"aws_access_key_id"`
	AWSSecretAccessKey          string `json:"aws_secret_access_key"`
	AWSRegion                   string `json:"aws_region"`
	AWSSessionToken             string `json:"aws_session_token"`
	SageMakerInferenceComponent string `json:"amzn_sagemaker_inference_component"`

	// Vertex AI. VertexServiceAccountJSON is the content of a key file. The open-source
	// gateway refuses values in it that are not strings.
	VertexProjectID          string         `json:"vertex_project_id"`
	VertexRegion             string         `json:"vertex_region"`
	VertexServiceAccountJSON map[string]any `json:"vertex_service_account_json"`

	// Extra contains keys that have no field.
	Extra map[string]any `json:"-"`
}

// Deployment is one of several deployments of an Azure OpenAI resource.
type Deployment struct {
	// DeploymentID, Alias and APIVersion are required.
	DeploymentID string `json:"deployment_id"`
	Alias        string `json:"alias"`
	APIVersion   string `json:"api_version"`
	IsDefault    *bool  `json:"is_default"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// The modes of a [Strategy].
const (
	ModeSingle      = "single"      // calls the first target
	ModeLoadBalance = "loadbalance" // calls a random target, by Weight
	ModeFallback    = "fallback"    // calls the targets in order until one succeeds
	ModeConditional = "conditional" // calls the target that Conditions select
)

// Strategy decides which targets of a config are called.
type Strategy struct {
	// Mode is one of the Mode constants, such as ModeFallback.
	Mode string `json:"mode"`
	// OnStatusCodes are the response statuses on which a fallback calls the next target.
	// The gateway's default is every status but 2xx.
	OnStatusCodes []int `json:"on_status_codes"`
	// Conditions are evaluated in order, in mode conditional.
	Conditions []Condition `json:"conditions"`
	// Default is the name of the target if no condition is true.
	Default string `json:"default"`
	// Sticky keeps a session on one target, in mode loadbalance. Only the hosted gateway
	// has it.
	Sticky *Sticky `json:"sticky"`
	// CircuitBreaker applies to all targets, but not in mode conditional. Only the hosted
	// gateway has it.
	CircuitBreaker *CircuitBreaker `json:"cb_config"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// Sticky sends requests that have the same values in HashFields to the same target.
type Sticky struct {
	// Enabled has to be true. The gateway's default is false.
	Enabled *bool `json:"enabled"`
	// HashFields identify a session: "metadata.user_id", for example.
	HashFields []string `json:"hash_fields"`
	// TTL is how long a session stays on its target. The gateway's default is an hour.
	// In JSON it is a number of seconds, rounded up.
	TTL time.Duration `json:"ttl" unit:"s"`

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
// $and and $or combine a list of queries, and stand alone in their Query.
//
// A KEY contains no dots: the gateway does not compare what is nested in metadata or
// in a parameter. A $regex is a regular expression of JavaScript, without flags.
type Query map[string]any

// The modes of a [Cache].
const (
	CacheSimple   = "simple"   // compares requests exactly
	CacheSemantic = "semantic" // compares their meaning
)

// Cache makes the gateway answer equal requests from its cache.
type Cache struct {
	// Mode is CacheSimple or CacheSemantic.
	Mode string `json:"mode"`
	// MaxAge is how long a response is cached. The hosted gateway takes seconds, from 60 to
	// 7,776,000 (90 days); its default is 604,800 (7 days). The open-source gateway takes
	// milliseconds; its npm package has no cache.
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
	// says, at most 60 seconds in all. Otherwise it waits 1, 2, 4, 8 and 16 seconds. The
	// open-source gateway reads UseRetryAfterHeader instead.
	UseRetryAfterHeaders *bool `json:"use_retry_after_headers"`
	UseRetryAfterHeader  *bool `json:"use_retry_after_header"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// CircuitBreaker excludes a failing target for some time. Only the hosted gateway has it.
type CircuitBreaker struct {
	// FailureThreshold is the number of failures after which a target is excluded.
	FailureThreshold int `json:"failure_threshold"`
	// FailureThresholdPercentage is the share of failures, from 0 to 100, after which a
	// target is excluded.
	FailureThresholdPercentage float64 `json:"failure_threshold_percentage"`
	// MinimumRequests is the number of requests before the percentage counts.
	MinimumRequests int `json:"minimum_requests"`
	// CooldownInterval is how long a target is excluded, at least 30 seconds. In JSON it
	// is a number of milliseconds, rounded up.
	CooldownInterval time.Duration `json:"cooldown_interval"`
	// FailureStatusCodes are the response statuses that count as failures. The gateway's
	// default is every status above 500.
	FailureStatusCodes []int `json:"failure_status_codes"`

	Extra map[string]any `json:"-"` // keys that have no field
}

// Validate returns a [*ConfigError] that lists everything that the gateway would
// refuse about c. NewTransport and RoundTrip call it. Virtual keys, "@slug" providers,
// and keys and providers that only the hosted gateway knows are accepted.
//
// It also lists conditions that the gateway accepts but does not evaluate as they are
// written: keys that it does not read (see [Query]), keys beside $and or $or, $in and $nin
// without a list, and regular expressions that are invalid in every version of JavaScript.
// For the gateway, a condition with an invalid one is false.
//
// A nested key that is compared with $eq to true or false, as older pages of Portkey's
// documentation show it, is accepted, although the gateway does not read it either.
func (c ConfigObject) Validate() error {
	if _, err := c.encodeValid(); err != nil {
		return err
	}
	return nil
}

// ConfigError reports a config that the gateway would refuse or misread, or that cannot
// be encoded. [ConfigObject.Validate] returns it. A [*HeaderError] for a config wraps it.
type ConfigError struct {
	Faults []ConfigFault // at least one
}

// ConfigFault is one value of a config that the gateway would refuse or misread.
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
	if isNestedTooDeep(f.value) {
		return errors.New(nestedTooDeep)
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
	var configErr *ConfigError
	if errors.As(err, &configErr) {
		return headerField{}, configErr
	}
	if err != nil { // whose text may contain a value
		return headerField{}, newConfigError("contains a value that JSON does not have, or a map or pointer to itself")
	}
	if hasInvalidUTF8(b) {
		return headerField{}, newConfigError("contains text that is not UTF-8")
	}
	var object map[string]any
	if json.Unmarshal(b, &object) != nil {
		return headerField{}, newConfigError("contains a number that is too large")
	}
	if faults := configcheck.CheckAll(object); len(faults) > 0 {
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

// MarshalJSON encodes c as the gateway reads it, with sorted keys. If c contains itself,
// or its JSON is nested more than 64 levels deep, MarshalJSON returns a [*ConfigError].
func (c ConfigObject) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON decodes a config. It decodes a key that has no field, or whose value
// does not fit into the field, into Extra, with numbers as json.Number. Validate
// checks those as well. If b is nested more than 64 levels deep, UnmarshalJSON returns
// a [*ConfigError].
func (c *ConfigObject) UnmarshalJSON(b []byte) error { return unmarshalPart(b, c) }

// MarshalJSON encodes s, including Extra.
func (s Strategy) MarshalJSON() ([]byte, error) { return marshalPart(s) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (s *Strategy) UnmarshalJSON(b []byte) error { return unmarshalPart(b, s) }

// MarshalJSON encodes s, including Extra.
func (s Sticky) MarshalJSON() ([]byte, error) { return marshalPart(s) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (s *Sticky) UnmarshalJSON(b []byte) error { return unmarshalPart(b, s) }

// MarshalJSON encodes d, including Extra.
func (d Deployment) MarshalJSON() ([]byte, error) { return marshalPart(d) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (d *Deployment) UnmarshalJSON(b []byte) error { return unmarshalPart(b, d) }

// MarshalJSON encodes c, including Extra.
func (c Condition) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (c *Condition) UnmarshalJSON(b []byte) error { return unmarshalPart(b, c) }

// MarshalJSON encodes c, including Extra.
func (c Cache) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (c *Cache) UnmarshalJSON(b []byte) error { return unmarshalPart(b, c) }

// MarshalJSON encodes r, including Extra.
func (r Retry) MarshalJSON() ([]byte, error) { return marshalPart(r) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (r *Retry) UnmarshalJSON(b []byte) error { return unmarshalPart(b, r) }

// MarshalJSON encodes c, including Extra.
func (c CircuitBreaker) MarshalJSON() ([]byte, error) { return marshalPart(c) }

// UnmarshalJSON treats keys without a field like [ConfigObject.UnmarshalJSON].
func (c *CircuitBreaker) UnmarshalJSON(b []byte) error { return unmarshalPart(b, c) }

// A part is one of the structs that a config consists of. Its JSON includes Extra.
type part interface{ extra() map[string]any }

func (c ConfigObject) extra() map[string]any   { return c.Extra }
func (s Strategy) extra() map[string]any       { return s.Extra }
func (s Sticky) extra() map[string]any         { return s.Extra }
func (d Deployment) extra() map[string]any     { return d.Extra }
func (c Condition) extra() map[string]any      { return c.Extra }
func (c Cache) extra() map[string]any          { return c.Extra }
func (r Retry) extra() map[string]any          { return r.Extra }
func (c CircuitBreaker) extra() map[string]any { return c.Extra }

// maxNesting is how deep a config's JSON may be nested: each object and each list is a
// level. It bounds every recursion over a config.
const (
	maxNesting    = 64
	nestedTooDeep = "is nested more than 64 levels deep, or contains itself"
)

// isNestedTooDeep reports whether JSON text has more than maxNesting levels.
func isNestedTooDeep[Text string | []byte](text Text) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			i++
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// marshalPart encodes p and its parts in one pass. If encoding/json called
// MarshalJSON for each part, it would check and copy the inner ones again.
//
// Parts in values of type any, and those that a json.Marshaler of the user encodes, do
// get there by another call of MarshalJSON. encoding/json detects no cycle across such
// calls: without a limit, a config that contains itself would overflow the stack.
func marshalPart(p part) ([]byte, error) {
	if callsOnStack() > maxNesting {
		return nil, newConfigError(nestedTooDeep)
	}
	object, err := new(partCount).objectOf(p, 1)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	if isNestedTooDeep(b) {
		return nil, newConfigError(nestedTooDeep)
	}
	return b, nil
}

// callsOnStack returns how many calls of its caller are on the stack.
func callsOnStack() (calls int) {
	var few [64]uintptr
	pcs := few[:]
	n := runtime.Callers(2, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 4*len(pcs))
		n = runtime.Callers(2, pcs)
	}
	caller := runtime.FuncForPC(pcs[0]).Entry()
	for _, pc := range pcs[:n] {
		if runtime.FuncForPC(pc).Entry() == caller {
			calls++
		}
	}
	return calls
}

// A partCount counts the parts of a config while they are encoded. Targets that share a
// slice could multiply at each level.
type partCount int

const maxParts = 10000

// objectOf returns the fields of p, a part at the given depth, that are not zero, and
// its Extra.
func (n *partCount) objectOf(p part, depth int) (map[string]any, error) {
	if *n++; *n > maxParts {
		return nil, newConfigError(fmt.Sprintf("has more than %d targets and other parts", maxParts))
	}
	if depth > maxNesting {
		return nil, newConfigError(nestedTooDeep)
	}
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
			return nil, newConfigError("has the key " + field.key + " both in its field and in Extra")
		}
		var err error
		switch v := f.Interface().(type) {
		case part:
			object[field.key], err = n.objectOf(v, depth+1)
		case []ConfigObject:
			object[field.key], err = objectsOf(n, v, depth+1)
		case []Condition:
			object[field.key], err = objectsOf(n, v, depth+1)
		case []Deployment:
			object[field.key], err = objectsOf(n, v, depth+1)
		case time.Duration:
			object[field.key] = roundUp(v, field.unit)
		default:
			object[field.key] = v
		}
		if err != nil {
			return nil, err
		}
	}
	return object, nil
}

func objectsOf[P part](n *partCount, parts []P, depth int) (objects []map[string]any, err error) {
	objects = make([]map[string]any, len(parts))
	for i, p := range parts {
		if objects[i], err = n.objectOf(p, depth); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// unmarshalPart decodes b, once for all parts in it, and sets *p.
func unmarshalPart(b []byte, p part) error {
	if isNestedTooDeep(b) {
		return newConfigError(nestedTooDeep)
	}
	var decoded any
	if !json.Valid(b) || unmarshalUseNumber(b, &decoded) != nil || !setValue(reflect.ValueOf(p).Elem(), decoded) {
		return newConfigError("must be a JSON object")
	}
	return nil
}

// setPart sets the fields of a part. What the fields would not encode to the same JSON
// again is set in Extra: unknown keys, zero values and values of another type.
func setPart(dst reflect.Value, object map[string]any) {
	dst.SetZero()
	fields := jsonFields(dst.Type())
	extra := make(map[string]any)
	for key, value := range object {
		if i := slices.IndexFunc(fields, func(f jsonField) bool { return f.key == key }); i >= 0 {
			f := dst.Field(fields[i].index)
			if d, ok := f.Addr().Interface().(*time.Duration); ok {
				*d = decodeDuration(value, fields[i].unit)
			} else if !setValue(f, value) {
				f.SetZero()
			}
			if !f.IsZero() {
				continue
			}
		}
		extra[key] = value
	}
	if len(extra) > 0 {
		dst.FieldByName("Extra").Set(reflect.ValueOf(extra))
	}
}

// setValue sets dst to a value that unmarshalUseNumber has decoded. It reports whether the
// value fits: null fits into an any only.
func setValue(dst reflect.Value, value any) bool {
	t := dst.Type()
	switch t.Kind() {
	case reflect.Interface:
		if value != nil {
			dst.Set(reflect.ValueOf(value))
		}
		return true
	case reflect.Pointer:
		dst.Set(reflect.New(t.Elem()))
		return setValue(dst.Elem(), value)
	}
	switch v := value.(type) {
	case map[string]any:
		switch t.Kind() {
		case reflect.Struct:
			setPart(dst, v)
			return true
		case reflect.Map:
			dst.Set(reflect.MakeMapWithSize(t, len(v)))
			for key, value := range v {
				element := reflect.New(t.Elem()).Elem()
				if !setValue(element, value) {
					return false
				}
				dst.SetMapIndex(reflect.ValueOf(key), element)
			}
			return true
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return false
		}
		dst.Set(reflect.MakeSlice(t, len(v), len(v)))
		for i, value := range v {
			if !setValue(dst.Index(i), value) {
				return false
			}
		}
		return true
	case string:
		if t.Kind() != reflect.String {
			return false
		}
		dst.SetString(v)
		return true
	case bool:
		if t.Kind() != reflect.Bool {
			return false
		}
		dst.SetBool(v)
		return true
	case json.Number:
		switch t.Kind() {
		case reflect.Int:
			n, err := strconv.ParseInt(string(v), 10, t.Bits())
			dst.SetInt(n)
			return err == nil
		case reflect.Float64:
			n, err := v.Float64()
			dst.SetFloat(n)
			return err == nil
		}
	}
	return false
}

// decodeDuration returns a whole number of units, or 0 if the value is anything else. A
// fraction does not fit into a field: it would be rounded up when it is encoded again.
func decodeDuration(value any, unit time.Duration) time.Duration {
	n, _ := value.(json.Number)
	most := math.MaxInt64 / int64(unit)
	// Exact arithmetic on a number of a million digits would take seconds.
	f, err := n.Float64()
	if err != nil || len(n) > 30 || math.Abs(f) < 1 || math.Abs(f) > float64(most) {
		return 0
	}
	exact, ok := new(big.Rat).SetString(string(n))
	if !ok || !exact.IsInt() {
		return 0
	}
	return time.Duration(exact.Num().Int64()) * unit
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
	unit  time.Duration // of its JSON, if it is a time.Duration
}

var jsonFieldsCache sync.Map // of []jsonField, by reflect.Type

func jsonFields(t reflect.Type) (fields []jsonField) {
	if cached, ok := jsonFieldsCache.Load(t); ok {
		return cached.([]jsonField)
	}
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		unit := time.Millisecond
		if tag.Get("unit") == "s" {
			unit = time.Second
		}
		if key := tag.Get("json"); key != "-" {
			fields = append(fields, jsonField{key, i, unit})
		}
	}
	jsonFieldsCache.Store(t, fields)
	return fields
}
