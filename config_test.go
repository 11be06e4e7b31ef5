package portkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

// wholeConfig sets nearly every field of a config; wholeJSON is its JSON.
var (
	wholeConfig = portkey.ConfigObject{
		Strategy: &portkey.Strategy{
			Mode: portkey.ModeConditional, Default: "rest",
			Conditions: []portkey.Condition{
				{Query: portkey.Query{"metadata.plan": portkey.Query{"$eq": "gôld"}}, Then: "best"},
				{Query: portkey.Query{"$or": []portkey.Query{
					{"params.temperature": portkey.Query{"$gt": 0.5, "$lte": 1}},
					{"params.model": portkey.Query{"$in": []string{"a", "b"}, "$nin": []string{"c"}, "$ne": "d", "$regex": "^a"}},
					{"$and": []any{map[string]any{"metadata.n": map[string]any{"$gte": 1, "$lt": 2}}}},
				}}, Then: "rest"},
			},
			CircuitBreaker: &portkey.CircuitBreaker{
				FailureThreshold: 5, FailureThresholdPercentage: 20, MinimumRequests: 10, CooldownInterval: time.Minute,
				FailureStatusCodes: []int{429, 500},
			},
		},
		Targets: []portkey.ConfigObject{
			{Name: "rest", Strategy: &portkey.Strategy{
				Mode:   portkey.ModeLoadBalance,
				Sticky: &portkey.Sticky{Enabled: portkey.Ptr(true), HashFields: []string{"metadata.u"}, TTL: time.Hour},
			}, Targets: []portkey.ConfigObject{
				{Provider: "openai", APIKey: "k1", Weight: portkey.Ptr(0.0)},
				{Passthrough: portkey.Ptr(true), FetchIntegratedModels: portkey.Ptr(false)},
				{
					Provider: "azure-openai", APIKey: "k3", ResourceName: "r", DeploymentID: "d1", APIVersion: "v1",
					Deployments: []portkey.Deployment{
						{DeploymentID: "d2", Alias: "a", APIVersion: "v1", IsDefault: portkey.Ptr(false)},
					},
				},
				{
					Provider: "vertex-ai", VertexRegion: "eu",
					VertexServiceAccountJSON: map[string]any{"type": "service_account", "n": 1},
				},
				{
					Provider: "@team", Weight: portkey.Ptr(0.75),
					OverrideParams: map[string]any{"model": "m", "user": "Zoë", "seed": 7},
				},
				{VirtualKey: "vk", DefaultParams: map[string]any{"top_p": 0.9}, DropParams: []string{"logprobs"}},
			}},
			{
				Name: "best", Provider: "openai", APIKey: "k2", CustomHost: "https://llm.example.com/v1",
				ForwardHeaders: []string{"X-A"},
				Retry:          &portkey.Retry{Attempts: 3, OnStatusCodes: []int{}, UseRetryAfterHeaders: portkey.Ptr(false)},
				Cache:          &portkey.Cache{Mode: portkey.CacheSimple, MaxAge: 60},
				RequestTimeout: 1500 * time.Millisecond, StrictOpenAICompliance: portkey.Ptr(false),
				InputGuardrails: []any{"g1"},
				OutputGuardrails: []any{
					map[string]any{"default.contains": map[string]any{"operator": "none"}, "deny": true},
				},
				BeforeRequestHooks: []map[string]any{{"id": "h1"}}, AfterRequestHooks: []map[string]any{},
				Extra: map[string]any{"new_key": []any{nil, 1}, "request_priority": 0},
			},
		},
	}
	wholeJSON = `{
		"strategy": {
			"mode": "conditional", "default": "rest",
			"conditions": [
				{"query": {"metadata.plan": {"$eq": "gôld"}}, "then": "best"},
				{"query": {"$or": [
					{"params.temperature": {"$gt": 0.5, "$lte": 1}},
					{"params.model": {"$in": ["a", "b"], "$nin": ["c"], "$ne": "d", "$regex": "^a"}},
					{"$and": [{"metadata.n": {"$gte": 1, "$lt": 2}}]}
				]}, "then": "rest"}
			],
			"cb_config": {
				"failure_threshold": 5, "failure_threshold_percentage": 20, "minimum_requests": 10,
				"cooldown_interval": 60000, "failure_status_codes": [429, 500]
			}
		},
		"targets": [
			{"name": "rest", "strategy": {
				"mode": "loadbalance", "sticky": {"enabled": true, "hash_fields": ["metadata.u"], "ttl": 3600}
			}, "targets": [
				{"provider": "openai", "api_key": "k1", "weight": 0},
				{"passthrough": true, "fetch_integrated_models": false},
				{
					"provider": "azure-openai", "api_key": "k3", "resource_name": "r", "deployment_id": "d1", "api_version": "v1",
					"deployments": [{"deployment_id": "d2", "alias": "a", "api_version": "v1", "is_default": false}]
				},
				{
					"provider": "vertex-ai", "vertex_region": "eu",
					"vertex_service_account_json": {"type": "service_account", "n": 1}
				},
				{"provider": "@team", "weight": 0.75, "override_params": {"model": "m", "user": "Zoë", "seed": 7}},
				{"virtual_key": "vk", "default_params": {"top_p": 0.9}, "drop_params": ["logprobs"]}
			]},
			{
				"name": "best", "provider": "openai", "api_key": "k2", "custom_host": "https://llm.example.com/v1",
				"forward_headers": ["X-A"],
				"retry": {"attempts": 3, "on_status_codes": [], "use_retry_after_headers": false},
				"cache": {"mode": "simple", "max_age": 60},
				"request_timeout": 1500, "strict_open_ai_compliance": false,
				"input_guardrails": ["g1"],
				"output_guardrails": [{"default.contains": {"operator": "none"}, "deny": true}],
				"before_request_hooks": [{"id": "h1"}], "after_request_hooks": [],
				"new_key": [null, 1], "request_priority": 0
			}
		]
	}`
)

// sameJSON reports whether two JSON texts have the same value. It compares numbers digit by digit.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	parse := func(text string) (v any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	return reflect.DeepEqual(parse(a), parse(b))
}

func isPrintableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func withConfig(ctx context.Context, c portkey.Config) context.Context {
	return portkey.WithHeaders(ctx, portkey.Headers{Config: c})
}

func TestConfigObjectIsSentAsASCIIJSON(t *testing.T) {
	t.Parallel()
	if err := wholeConfig.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	for _, tt := range []struct {
		name string
		opts portkey.Options
		ctx  context.Context
	}{
		{"Options", portkey.Options{Headers: portkey.Headers{Config: wholeConfig}}, t.Context()},
		{"context", portkey.Options{}, withConfig(t.Context(), wholeConfig)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			do(t, newClient(t, s, tt.opts), newRequest(t, tt.ctx, "GET", openAIChat, ""))
			got := s.last(t).header["X-Portkey-Config"]
			if len(got) != 1 || !sameJSON(t, got[0], wholeJSON) {
				t.Fatalf("got %q, want %s", got, wholeJSON)
			}
			if !isPrintableASCII(got[0]) {
				t.Errorf("got %q, want printable ASCII", got)
			}
		})
	}
}

func TestConfigObjectKeepsAllJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text string }{
		{"every field", wholeJSON},
		{"empty", `{}`},
		{
			"zero values",
			`{"weight":0,"api_key":"","provider":null,"targets":[],"retry":{"attempts":0},"cache":{},` +
				`"strategy":{"new":{}},"request_timeout":0,"strict_open_ai_compliance":false}`,
		},
		{
			"values of other types",
			`{"weight":"heavy","targets":[null,3,{"retry":[]}],"on_status_codes":[429.5],` +
				`"strategy":{"mode":4,"conditions":[{"query":{"a":12345678901234567890},"then":"x","else":1}]},` +
				`"vertex_service_account_json":["a"],"passthrough":0,"deployments":[{"alias":1},2]}`,
		},
		{
			"durations that do not fit",
			`{"request_timeout":"5","cb_config":{"cooldown_interval":null},"targets":[{"request_timeout":1500.5},` +
				`{"request_timeout":0.0000001},{"request_timeout":1.00000000000000000001},` +
				`{"request_timeout":9223372036855},{"request_timeout":1e300},{"request_timeout":1e999999999},` +
				`{"request_timeout":1e-999999999},{"request_timeout":-0},{"request_timeout":-2}]}`,
		},
		{"keys in another case", `{"Provider":"x","API_KEY":"y","apiKey":"z"}`},
		{
			"null in lists and maps",
			`{"retry":{"attempts":3,"on_status_codes":[null]},"forward_headers":[null,"a"],` +
				`"vertex_service_account_json":{"k":null}}`,
		},
		{
			"long numbers",
			`{"override_params":{"seed":12345678901234567890,"x":1.10},"deep":{"a":[{"b":null}]}}`,
		},
		{
			"unknown keys in parts",
			`{"cb_config":{"failure_threshold":0,"later":true},` +
				`"retry":{"attempts":2,"use_retry_after_header":false,"later":"x"},` +
				`"cache":{"mode":"semantic","later":0}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c, again portkey.ConfigObject
			if err := json.Unmarshal([]byte(tt.text), &c); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, string(got), tt.text) {
				t.Errorf("got %s, want %s", got, tt.text)
			}
			if err := json.Unmarshal(got, &again); err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("decoded again: got %#v, %v, want %#v", again, err, c)
			}
		})
	}
}

func TestDurationsOfAConfigAreMilliseconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		duration time.Duration
		want     string // in JSON
	}{
		{0, ""},
		{time.Nanosecond, "1"},
		{time.Millisecond, "1"},
		{time.Millisecond + 1, "2"},
		{1500 * time.Microsecond, "2"},
		{3 * time.Second, "3000"},
		{-time.Second, "-1000"},
		{math.MaxInt64, "9223372036855"},
	} {
		c := portkey.ConfigObject{
			RequestTimeout: tt.duration, CircuitBreaker: &portkey.CircuitBreaker{CooldownInterval: tt.duration},
		}
		want := `{"cb_config":{"cooldown_interval":` + tt.want + `},"request_timeout":` + tt.want + `}`
		if tt.want == "" {
			want = `{"cb_config":{}}`
		}
		if got, err := json.Marshal(c); err != nil || string(got) != want {
			t.Errorf("%v: got %s, %v, want %s", tt.duration, got, err, want)
		}
	}
	for number, want := range map[string]time.Duration{
		"1":             time.Millisecond,
		"1500":          1500 * time.Millisecond,
		"1500.0":        1500 * time.Millisecond,
		"1.5e3":         1500 * time.Millisecond,
		"15000E-1":      1500 * time.Millisecond,
		"9223372036854": 9223372036854 * time.Millisecond,
		"-2":            -2 * time.Millisecond,
	} {
		got := decodeConfig(t, `{"request_timeout":`+number+`,"cb_config":{"cooldown_interval":`+number+`}}`)
		wantConfig := portkey.ConfigObject{
			RequestTimeout: want, CircuitBreaker: &portkey.CircuitBreaker{CooldownInterval: want},
		}
		if !reflect.DeepEqual(got, wantConfig) {
			t.Errorf("%s: got %#v, want %v in both fields", number, got.Extra, want)
		}
	}
}

func TestStickyTTLIsInSeconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ttl  time.Duration
		want string
	}{
		{0, `{}`},
		{time.Nanosecond, `{"ttl":1}`},
		{time.Second, `{"ttl":1}`},
		{time.Second + time.Millisecond, `{"ttl":2}`},
		{time.Hour, `{"ttl":3600}`},
		{math.MaxInt64, `{"ttl":9223372037}`},
	} {
		if got, err := json.Marshal(portkey.Sticky{TTL: tt.ttl}); err != nil || string(got) != tt.want {
			t.Errorf("%v: got %s, %v, want %s", tt.ttl, got, err, tt.want)
		}
	}
	for number, want := range map[string]time.Duration{
		"1": time.Second, "90.0": 90 * time.Second, "3.6e3": time.Hour, "9223372036": 9223372036 * time.Second,
		"0.5": 0, "9223372037": 0, "1e300": 0, `"60"`: 0, "null": 0, // they do not fit
	} {
		var got portkey.Sticky
		if err := json.Unmarshal([]byte(`{"ttl":`+number+`}`), &got); err != nil {
			t.Fatal(err)
		}
		if _, inExtra := got.Extra["ttl"]; got.TTL != want || inExtra != (want == 0) {
			t.Errorf("%s: got %v, and %v in Extra, want %v", number, got.TTL, got.Extra, want)
		}
	}
}

func TestConfigObjectDecodesObjectsOnly(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`null`, `[]`, `"` + secret + `"`, `3`} {
		t.Run(text, func(t *testing.T) {
			var c portkey.ConfigObject
			if err := json.Unmarshal([]byte(text), &c); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want an error without the value", err)
			}
		})
	}
}

func TestUnknownConfigKeysAreDecodedIntoExtra(t *testing.T) {
	t.Parallel()
	const text = `{"provider":"openai","new":{"a":1},"targets":[{"name":"t","other":true}]}`
	var got portkey.ConfigObject
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := portkey.ConfigObject{
		Provider: "openai", Extra: map[string]any{"new": map[string]any{"a": json.Number("1")}},
		Targets: []portkey.ConfigObject{{Name: "t", Extra: map[string]any{"other": true}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func decodeConfig(t *testing.T, text string) (c portkey.ConfigObject) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestValidateAcceptsValidConfigs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, config string }{
		{"provider with key", `{"provider":"openai","api_key":"k"}`},
		{"no retries", `{"retry":{"attempts":0}}`},
		{"virtual key", `{"virtual_key":"vk"}`},
		{"virtual key with provider", `{"provider":"openai","virtual_key":"vk"}`},
		{"virtual key for Vertex AI", `{"provider":"vertex-ai","virtual_key":"vk"}`},
		{"prompt", `{"prompt_id":"pp-1"}`},
		{"provider slug", `{"provider":"@slug"}`},
		{"unknown provider", `{"provider":"newcomer","api_key":"k"}`},
		{"model from Portkey's catalog", `{"override_params":{"model":"@team/m"}}`},
		{"Ollama", `{"provider":"ollama","custom_host":"http://10.0.0.1:11434"}`},
		{"Bedrock", `{"provider":"bedrock","aws_access_key_id":"a","aws_secret_access_key":"b"}`},
		{"Azure managed identity", `{"provider":"azure-openai","azure_auth_mode":"managed"}`},
		{
			"Vertex AI service account",
			`{"provider":"vertex-ai","vertex_region":"r","vertex_service_account_json":{"a":"b"}}`,
		},
		{"guardrails", `{"input_guardrails":[{"default.contains":{}}]}`},
		{"Triton", `{"provider":"triton"}`},
		{"provider with custom host", `{"provider":"openai","custom_host":"https://llm.example.com/v1"}`},
		{"forwarded headers", `{"forward_headers":["Authorization"]}`},
		{"Azure AI endpoint", `{"provider":"azure-ai","azure_endpoint_name":"e"}`},
		{"Azure AI deployment", `{"provider":"azure-ai","azure_deployment_name":"d"}`},
		{
			"one target with a weight",
			`{"strategy":{"mode":"loadbalance"},"targets":[{"virtual_key":"vk","weight":0},{"virtual_key":"vk"}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := decodeConfig(t, tt.config).Validate(); err != nil {
				t.Errorf("got %v, want no error", err)
			}
		})
	}
}

func TestModesAreValid(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{
		portkey.ModeSingle, portkey.ModeLoadBalance, portkey.ModeFallback, portkey.ModeConditional,
	} {
		strategy := &portkey.Strategy{Mode: mode, Conditions: []portkey.Condition{}, Default: "a"}
		c := portkey.ConfigObject{Strategy: strategy, Targets: []portkey.ConfigObject{{Name: "a", VirtualKey: "vk"}}}
		if err := c.Validate(); err != nil {
			t.Errorf("strategy %s: %v", mode, err)
		}
	}
	for _, mode := range []string{portkey.CacheSimple, portkey.CacheSemantic} {
		c := portkey.ConfigObject{Cache: &portkey.Cache{Mode: mode}}
		if err := c.Validate(); err != nil {
			t.Errorf("cache %s: %v", mode, err)
		}
	}
}

func TestValidateReportsEveryProblemWithItsPath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, config string
		want         []string // how each problem begins
	}{
		{"empty", `{}`, []string{"the config needs"}},
		{"provider without a key", `{"provider":"openai"}`, []string{"the config needs"}},
		{
			"null and number instead of strings", `{"virtual_key":null,"prompt_id":5}`,
			[]string{"prompt_id must be a string", "virtual_key must be a string"},
		},
		{"empty virtual key", `{"virtual_key":""}`, []string{"the config needs"}},
		{
			"null in lists", `{"retry":{"attempts":1,"on_status_codes":[null]},"forward_headers":[null]}`,
			[]string{"forward_headers[0] must be a string", "retry.on_status_codes[0] must be a number"},
		},
		{
			"default without its target",
			`{"strategy":{"mode":"conditional","conditions":[],"default":"a"},` +
				`"targets":[{"name":{},"virtual_key":"x"}]}`,
			[]string{"targets[0].name must be a string", "strategy.default is not the name of a target"},
		},
		{
			"over 20 problems",
			`{"retry":{"attempts":1},"on_status_codes":[` + strings.Repeat(`"x",`, 29) + `"x"]}`,
			slices.Repeat([]string{"on_status_codes["}, 30),
		},
		{"options", `{"cache":{"mode":"simple"},"options":[]}`, []string{"options belongs to"}},
		{
			"nested targets",
			`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k"},` +
				`{"strategy":{"mode":"Fallback"},"targets":[{"weight":1},null]}]}`,
			[]string{
				"targets[1].strategy.mode must be one of", "targets[1].targets[0] needs",
				"targets[1].targets[1] must be an object",
			},
		},
		{
			"empty parts", `{"strategy":{},"targets":[],"retry":{},"cache":{"max_age":"1"},"weight":"1"}`,
			[]string{
				"cache.mode is missing", "cache.max_age must be a number", "retry.attempts is missing",
				"strategy.mode is missing", "weight must be a number", "targets must not be empty",
			},
		},
		{
			"strategy without targets", `{"strategy":{"mode":"fallback"},"cache":{"mode":"simple"}}`,
			[]string{"targets must not be empty"},
		},
		{
			"target without a provider",
			`{"strategy":{"mode":"fallback"},"targets":[{"retry":{"attempts":1}},{"virtual_key":"vk"}]}`,
			[]string{"targets[0] names no provider"},
		},
		{
			"no target with a weight",
			`{"strategy":{"mode":"loadbalance"},"targets":[{"virtual_key":"vk","weight":0}]}`,
			[]string{"targets must not all have weight 0"},
		},
		{
			"provider in another case", `{"provider":"OpenAI","api_key":1}`,
			[]string{"api_key must be a string", "provider must be"},
		},
		{
			"Vertex AI without a region", `{"provider":"vertex-ai","api_key":"k"}`,
			[]string{"provider vertex-ai needs"},
		},
		{
			"wrong types",
			`{"provider":"openai","api_key":"k","custom_host":"ftp://x","forward_headers":"a",` +
				`"request_timeout":true,"on_status_codes":["429"],"strict_open_ai_compliance":"false",` +
				`"aws_region":1,"vertex_service_account_json":[],"input_guardrails":["a",{},1],` +
				`"after_request_hooks":[1],"passthrough":"true","default_params":[],"drop_params":"a"}`,
			[]string{
				"after_request_hooks[0] must be an object", "aws_region must be a string", "custom_host must start with",
				"default_params must be an object", "drop_params must be a list", "forward_headers must be a list",
				"input_guardrails[2] must be", "on_status_codes[0] must be a number", "passthrough must be true or false",
				"request_timeout must be a number", "strict_open_ai_compliance must be",
				"vertex_service_account_json must be",
			},
		},
		{
			"wrong types in parts",
			`{"strategy":{"mode":"loadbalance","sticky":{"enabled":1,"hash_fields":[1],"ttl":"60"},` +
				`"cb_config":{"failure_threshold":"5"}},"targets":[{"virtual_key":"vk","deployments":[{"alias":"a"}]}]}`,
			[]string{
				"strategy.cb_config.failure_threshold must be", "strategy.sticky.enabled must be",
				"strategy.sticky.hash_fields[0] must be", "strategy.sticky.ttl must be",
				"targets[0].deployments[0].deployment_id is missing", "targets[0].deployments[0].api_version is missing",
			},
		},
		{
			"conditions that the gateway does not evaluate as written",
			`{"strategy":{"mode":"conditional","default":"a","conditions":[` +
				`{"query":{"metadata.user.plan":{"$eq":"paid"}},"then":"a"},{"query":{"headers.x-plan":"paid"},"then":"a"},` +
				`{"query":{"plan":"paid"},"then":"a"},{"query":{"metadata.plan":{"$regex":"*paid"}},"then":"a"},` +
				`{"query":{"$or":[{"metadata.plan":"paid"}],"metadata.region":"EU"},"then":"a"}]},` +
				`"targets":[{"name":"a","virtual_key":"vk"}]}`,
			[]string{
				"strategy.conditions[0].query has a nested key", "strategy.conditions[1].query has an unknown key",
				"strategy.conditions[2].query has an unknown key", "strategy.conditions[3].query has a $regex",
				"strategy.conditions[4].query has keys beside $and or $or",
			},
		},
		{
			"conditions",
			`{"strategy":{"mode":"conditional","default":"b","conditions":[` +
				`{"query":{"metadata.a":{"$eg":1}},"then":"c"},{"then":"a"},` +
				`{"query":{"$and":[{"params.x":{"$like":1}}]},"then":"a"}]},` +
				`"targets":[{"name":"a","virtual_key":"vk"}]}`,
			[]string{
				"strategy.conditions[0].query has an unknown operator", "strategy.conditions[1].query is missing",
				"strategy.conditions[2].query.$and[0] has an unknown operator",
				"strategy.conditions[0].then is not the name of a target", "strategy.default is not the name of a target",
			},
		},
		{
			"no conditions", `{"strategy":{"mode":"conditional"},"targets":[{"virtual_key":"vk"}]}`,
			[]string{"strategy.conditions is missing", "strategy.default is not the name of a target"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := decodeConfig(t, tt.config)
			faults := checkConfigError(t, c.Validate())
			if got := reasons(faults); !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.config == "{}" {
				return // as a field of Headers it is not set
			}
			_, err := portkey.NewTransport(nil, portkey.Options{
				BaseURL: "http://gw.example", Headers: portkey.Headers{Config: c},
			})
			checkHeaderError(t, err, "x-portkey-config")
			if got := checkConfigError(t, err); !slices.Equal(got, faults) {
				t.Errorf("NewTransport: got %q, want %q", got, faults)
			}
			req := newRequest(t, withConfig(t.Context(), &c), "POST", openAIChat, "")
			checkInvalidRequest(t, req, "x-portkey-config")
			_, err = newTransport(t, new(recorder), portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(
				newRequest(t, withConfig(t.Context(), &c), "POST", openAIChat, ""))
			if got := checkConfigError(t, err); !slices.Equal(got, faults) {
				t.Errorf("RoundTrip: got %q, want %q", got, faults)
			}
		})
	}
}

// checkConfigError returns the faults of a ConfigError.
func checkConfigError(t *testing.T, err error) []portkey.ConfigFault {
	t.Helper()
	var configErr *portkey.ConfigError
	if !errors.As(err, &configErr) || len(configErr.Faults) == 0 {
		t.Fatalf("got %v, want a ConfigError with faults", err)
	}
	return configErr.Faults
}

// reasons returns the faults as text.
func reasons(faults []portkey.ConfigFault) (all []string) {
	for _, f := range faults {
		text := f.Path + " " + f.Reason
		if f.Path == "" {
			text = "the config " + f.Reason
		}
		all = append(all, text)
	}
	return all
}

func TestHeaderErrorForAConfigWrapsAConfigError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		config portkey.Config
	}{
		{"slug like JSON", portkey.ConfigSlug("{}")},
		{"slug with a control character", portkey.ConfigSlug("pc-1\n")},
		{"text that is not JSON", portkey.ConfigJSON("pc-1")},
		{"list", portkey.ConfigJSON("[]")},
		{"broken JSON", portkey.ConfigJSON("{")},
		{"another type", struct{ portkey.Config }{portkey.ConfigSlug("pc-1")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := portkey.NewTransport(nil, portkey.Options{
				BaseURL: "http://gw.example", Headers: portkey.Headers{Config: tt.config},
			})
			checkHeaderError(t, err, "x-portkey-config")
			if faults := checkConfigError(t, err); len(faults) != 1 || faults[0].Path != "" {
				t.Errorf("got %q, want one fault without a path", faults)
			}
		})
	}
	err := error(&portkey.HeaderError{Name: "x-portkey-trace-id"})
	if got := errors.Unwrap(err); got != nil {
		t.Errorf("error for another header: got %v, want nothing wrapped", got)
	}
}

func TestConfigErrorTextListsTwentyFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		faults int
		want   string // at the end of the text
	}{
		{1, "on_status_codes[0] must be a number"},
		{20, "; on_status_codes[19] must be a number"},
		{21, "; on_status_codes[19] must be a number; and 1 more"},
		{100, "; on_status_codes[19] must be a number; and 80 more"},
	} {
		codes := `"x"` + strings.Repeat(`,"x"`, tt.faults-1)
		err := decodeConfig(t, `{"retry":{"attempts":1},"on_status_codes":[`+codes+`]}`).Validate()
		if got := len(checkConfigError(t, err)); got != tt.faults {
			t.Errorf("got %d faults, want %d", got, tt.faults)
		}
		text := err.Error()
		if !strings.HasPrefix(text, "portkey: invalid config: on_status_codes[0]") || !strings.HasSuffix(text, tt.want) {
			t.Errorf("got %q, want %q at its end", text, tt.want)
		}
	}
}

func TestConfigThatCannotBeEncodedIsRejected(t *testing.T) {
	t.Parallel()
	loop := map[string]any{}
	loop["loop"] = loop
	endless := make([]portkey.ConfigObject, 2)
	endless[0].Targets, endless[1].Targets = endless, endless
	withParams := func(params map[string]any) portkey.ConfigObject {
		return portkey.ConfigObject{Provider: "openai", APIKey: "k", OverrideParams: params}
	}
	withExtra := func(extra map[string]any) portkey.ConfigObject {
		return portkey.ConfigObject{Provider: "openai", APIKey: secret, Extra: extra}
	}
	for _, tt := range []struct {
		name   string
		config portkey.ConfigObject
	}{
		{"key both in its field and in Extra", withExtra(map[string]any{"api_key": secret})},
		{"value is not UTF-8", portkey.ConfigObject{Provider: "openai", APIKey: secret + "\xff"}},
		{"key is not UTF-8", withParams(map[string]any{secret + "\xff": 1})},
		{"function", withParams(map[string]any{"f": func() {}})},
		{"map that contains itself", withExtra(loop)},
		{"targets that contain themselves", portkey.ConfigObject{Targets: endless}},
		{"invalid number", withExtra(map[string]any{"n": json.Number(secret)})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.config.Validate()
			if faults := checkConfigError(t, err); len(faults) != 1 || faults[0].Path != "" {
				t.Errorf("got %q, want one fault without a path", faults)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want an error without the value", err)
			}
			req := newRequest(t, withConfig(t.Context(), tt.config), "POST", openAIChat, "")
			checkInvalidRequest(t, req, "x-portkey-config")
		})
	}
}

// A configHolder holds a config in a way that encoding/json follows, without or with a MarshalJSON in between.
type (
	configHolder    struct{ Config *portkey.ConfigObject }
	configMarshaler struct{ config *portkey.ConfigObject }
)

func (m configMarshaler) MarshalJSON() ([]byte, error) { return json.Marshal(m.config) }

func TestConfigThatContainsItselfIsRejected(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		add  func(c *portkey.ConfigObject) // makes c contain itself
	}{
		{"Extra", func(c *portkey.ConfigObject) { c.Extra = map[string]any{"a": c} }},
		{"Extra by value", func(c *portkey.ConfigObject) {
			c.Extra = map[string]any{}
			c.Extra["a"], c.Extra["b"] = *c, *c
		}},
		{"OverrideParams", func(c *portkey.ConfigObject) { c.OverrideParams = map[string]any{"a": c} }},
		{"DefaultParams", func(c *portkey.ConfigObject) { c.DefaultParams = map[string]any{"a": []any{"b", c}} }},
		{"InputGuardrails", func(c *portkey.ConfigObject) { c.InputGuardrails = []any{c} }},
		{"OutputGuardrails", func(c *portkey.ConfigObject) { c.OutputGuardrails = []any{map[string]any{"a": &c}} }},
		{"BeforeRequestHooks", func(c *portkey.ConfigObject) { c.BeforeRequestHooks = []map[string]any{{"a": c}} }},
		{"AfterRequestHooks", func(c *portkey.ConfigObject) { c.AfterRequestHooks = []map[string]any{{"a": c}} }},
		{"Sticky.Extra", func(c *portkey.ConfigObject) {
			c.Strategy = &portkey.Strategy{Sticky: &portkey.Sticky{Extra: map[string]any{"a": c}}}
		}},
		{"Deployment.Extra", func(c *portkey.ConfigObject) {
			c.Deployments = []portkey.Deployment{{Extra: map[string]any{"a": c}}}
		}},
		{"VertexServiceAccountJSON", func(c *portkey.ConfigObject) {
			c.VertexServiceAccountJSON = map[string]any{"a": c}
		}},
		{"Strategy.Extra", func(c *portkey.ConfigObject) {
			c.Strategy = &portkey.Strategy{Mode: portkey.ModeSingle, Extra: map[string]any{"a": c}}
		}},
		{"strategy in its Extra", func(c *portkey.ConfigObject) {
			c.Strategy = &portkey.Strategy{Mode: portkey.ModeSingle}
			c.Strategy.Extra = map[string]any{"a": c.Strategy}
		}},
		{"Query", func(c *portkey.ConfigObject) {
			c.Strategy = &portkey.Strategy{Conditions: []portkey.Condition{{Query: portkey.Query{"$and": []any{c}}}}}
		}},
		{"query in itself", func(c *portkey.ConfigObject) {
			query := portkey.Query{}
			query["$and"] = []portkey.Query{query}
			c.Strategy = &portkey.Strategy{Conditions: []portkey.Condition{{Query: query}}}
		}},
		{"Condition.Extra", func(c *portkey.ConfigObject) {
			c.Strategy = &portkey.Strategy{Conditions: []portkey.Condition{{Extra: map[string]any{"a": c}}}}
		}},
		{"Cache.Extra", func(c *portkey.ConfigObject) {
			c.Cache = &portkey.Cache{Mode: portkey.CacheSimple, Extra: map[string]any{"a": c}}
		}},
		{"Retry.Extra", func(c *portkey.ConfigObject) {
			c.Retry = &portkey.Retry{Attempts: 1, Extra: map[string]any{"a": c}}
		}},
		{"CircuitBreaker.Extra", func(c *portkey.ConfigObject) {
			c.CircuitBreaker = &portkey.CircuitBreaker{Extra: map[string]any{"a": c}}
		}},
		{"Targets", func(c *portkey.ConfigObject) {
			c.Targets = make([]portkey.ConfigObject, 2)
			c.Targets[0].Targets, c.Targets[1].Targets = c.Targets, c.Targets
		}},
		{"Extra of a target", func(c *portkey.ConfigObject) {
			c.Targets = []portkey.ConfigObject{{Extra: map[string]any{"a": c}}}
		}},
		{"Config in Extra", func(c *portkey.ConfigObject) {
			var config portkey.Config = c
			c.Extra = map[string]any{"a": map[int]*portkey.Config{1: &config}}
		}},
		{"struct", func(c *portkey.ConfigObject) { c.Extra = map[string]any{"a": []configHolder{{c}}} }},
		{"json.Marshaler", func(c *portkey.ConfigObject) { c.Extra = map[string]any{"a": &configMarshaler{c}} }},
		{"json.Marshaler below a loop", func(c *portkey.ConfigObject) {
			loop := map[string]any{"z": configMarshaler{c}}
			loop["a"] = loop
			c.Extra = loop
		}},
		{"json.Marshaler deep below", func(c *portkey.ConfigObject) {
			var deep any = configMarshaler{c}
			for range 200 {
				deep = []any{deep}
			}
			c.Extra = map[string]any{"a": deep}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &portkey.ConfigObject{Provider: "openai", APIKey: secret}
			tt.add(c)
			if err := c.Validate(); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("Validate: got %v, want an error without the key", err)
			}
			if b, err := json.Marshal(c); err == nil {
				t.Errorf("json.Marshal: got %.200s, want an error", b)
			}
			req := newRequest(t, withConfig(t.Context(), c), "POST", openAIChat, "")
			checkInvalidRequest(t, req, "x-portkey-config")
		})
	}
}

// nested returns JSON with depth objects and lists within each other, at least two.
func nested(depth int, open, end string) string {
	perLevel := strings.Count(open, "{") + strings.Count(open, "[")
	levels := (depth - 1) / perLevel
	rest := depth - levels*perLevel - 1
	return strings.Repeat(open, levels) + "{" + strings.Repeat(`"a":{`, rest) +
		strings.Repeat("}", rest) + "}" + strings.Repeat(end, levels)
}

func TestConfigMayBeNested64Deep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, open, end string }{
		{"targets", `{"targets":[`, `]}`},
		{"objects", `{"a":`, `}`},
		{"lists", `{"input_guardrails":[`, `]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for depth, wantErr := range map[int]bool{63: false, 64: false, 65: true, 66: true} {
				inString := strings.Repeat(`[{\"\\`, 65) // is not nested
				text := `{"virtual_key":"` + inString + `","x":` + nested(depth-1, tt.open, tt.end) + `}`
				var c portkey.ConfigObject
				if err := json.Unmarshal([]byte(text), &c); (err != nil) != wantErr {
					t.Errorf("depth %d: Unmarshal: got %v, want an error: %t", depth, err, wantErr)
				}
				c = portkey.ConfigObject{VirtualKey: "vk", Extra: map[string]any{
					"x": json.RawMessage(nested(depth-1, tt.open, tt.end)),
				}}
				if err := c.Validate(); (err != nil) != wantErr {
					t.Errorf("depth %d: Validate: got %v, want an error: %t", depth, err, wantErr)
				}
				if _, err := json.Marshal(c); (err != nil) != wantErr {
					t.Errorf("depth %d: Marshal: got %v, want an error: %t", depth, err, wantErr)
				}
				_, err := portkey.NewTransport(nil, portkey.Options{
					BaseURL: "http://gw.example", Headers: portkey.Headers{Config: portkey.ConfigJSON(text)},
				})
				if (err != nil) != wantErr {
					t.Errorf("depth %d: ConfigJSON: got %v, want an error: %t", depth, err, wantErr)
				}
				req := newRequest(t, t.Context(), "POST", "http://gw.example/v1/chat/completions", "")
				req.Header.Set("x-portkey-config", text)
				tr := newTransport(t, new(recorder), portkey.Options{BaseURL: "http://gw.example/v1"})
				if _, err := tr.RoundTrip(req); (err != nil) != wantErr {
					t.Errorf("depth %d: request header: got %v, want an error: %t", depth, err, wantErr)
				}
			}
		})
	}
}

func TestConfigsInExtraMayBeNested64Deep(t *testing.T) {
	t.Parallel()
	for depth, wantErr := range map[int]bool{2: false, 64: false, 65: true, 66: true} {
		c := portkey.ConfigObject{VirtualKey: "vk"}
		for range depth - 1 {
			c = portkey.ConfigObject{VirtualKey: "vk", Extra: map[string]any{"x": c}}
		}
		if err := c.Validate(); (err != nil) != wantErr {
			t.Errorf("depth %d: got %v, want an error: %t", depth, err, wantErr)
		}
	}
}

// The limit catches a hang or quadratic time: a linear decoder needs a few milliseconds.
func TestDecodingAConfigTakesLinearTime(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"targets, 50 deep", `{"targets":[` + strings.Repeat(nested(50, `{"targets":[`, `]}`)+`,`, 200) + `{}]}`},
		{"targets, 8000 deep", nested(8000, `{"targets":[`, `]}`)},
		{"lists, 9000 deep", nested(9000, `{"a":[`, `]}`)},
		{"parts", `{"targets":[` + strings.Repeat(`{"strategy":{"cb_config":{}},"cache":{"a":{}}},`, 2000) + `{}]}`},
		{"unknown keys", `{"x":[` + strings.Repeat(`{"a":{"b":[]}},`, 7000) + `1]}`},
		{"large exponents", `{"targets":[` +
			strings.Repeat(`{"request_timeout":1e999999},{"weight":1e-99999999},`, 2000) + `{}]}`},
		{"long number", `{"request_timeout":1.` + strings.Repeat("0", 3_000_000) + `}`},
		{"unclosed", strings.Repeat(`{"targets":[`, 8000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c portkey.ConfigObject
			start := time.Now()
			err := json.Unmarshal([]byte(tt.text), &c)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("decoding %d bytes took %v (%v)", len(tt.text), took, err)
			}
			req := newRequest(t, t.Context(), "POST", "http://gw.example/v1/chat/completions", "")
			req.Header.Set("x-portkey-config", tt.text)
			tr := newTransport(t, new(recorder), portkey.Options{BaseURL: "http://gw.example/v1"})
			start = time.Now()
			_, err = tr.RoundTrip(req)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("sending %d bytes took %v (%v)", len(tt.text), took, err)
			}
		})
	}
}

func TestChangingAConfigLaterHasNoEffect(t *testing.T) {
	t.Parallel()
	newConfig := func() portkey.ConfigObject {
		return portkey.ConfigObject{
			Strategy: &portkey.Strategy{Mode: portkey.ModeLoadBalance},
			Targets: []portkey.ConfigObject{{
				Provider: "openai", APIKey: "k", Weight: portkey.Ptr(1.0),
				OverrideParams: map[string]any{"stop": []any{"a"}, "x": "1"},
			}},
		}
	}
	change := func(c portkey.ConfigObject) {
		c.Strategy.Mode, c.Targets[0].APIKey, *c.Targets[0].Weight = "changed", "changed", 2
		c.Targets[0].OverrideParams["stop"].([]any)[0], c.Targets[0].OverrideParams["x"] = "changed", "2"
	}
	c := newConfig()
	ctx := withConfig(t.Context(), c)
	change(c)
	for range 2 {
		got := portkey.HeadersFromContext(ctx).Config.(portkey.ConfigObject)
		if want := newConfig(); !reflect.DeepEqual(got, want) {
			b, _ := json.Marshal(got)
			t.Errorf("got %s, want the unchanged config", b)
		}
		change(got)
	}
}

func TestConfigMayContainAnyMarshalableValue(t *testing.T) {
	t.Parallel()
	type node struct {
		Parent *node `json:"-"`
		Kids   []*node
		bad    string
	}
	root := &node{bad: "\xff"}
	root.Kids = []*node{{Parent: root}}
	c := portkey.ConfigObject{Provider: "openai", APIKey: "k\\ufffd\ufffd", OverrideParams: map[string]any{
		"raw": json.RawMessage(`{"a":[1]}`), "time": time.Unix(0, 0).UTC(), "node": root,
		"array": [1]map[string]any{{"a": 1}},
	}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, withConfig(t.Context(), c), "GET", openAIChat, ""))
	const want = `{"api_key":"k\\ufffd\ufffd","override_params":{"array":[{"a":1}],"node":{"Kids":[{"Kids":null}]},` +
		`"raw":{"a":[1]},"time":"1970-01-01T00:00:00Z"},"provider":"openai"}`
	if got := s.last(t).header.Get("X-Portkey-Config"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzMetadata checks that any metadata is either rejected, or sent as one line of printable ASCII
// with the same keys and values.
func FuzzMetadata(f *testing.F) {
	f.Add("k", "v", "")
	f.Add("_user", "Zoë \U0001f600 \"\\\n\x7f\u2028</script>", `{"k":"outer","z":"1"}`)
	f.Add("\xff", "\xff", "null")
	f.Fuzz(func(t *testing.T, key, value, onRequest string) {
		want := portkey.Metadata{key: value}
		req := newRequest(t, portkey.WithMetadata(t.Context(), want), "GET", "http://gw.example", "")
		if onRequest != "" {
			req.Header.Set("x-portkey-metadata", onRequest)
		}
		base := new(recorder)
		tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", NewTraceID: noTrace})
		if _, err := tr.RoundTrip(req); err != nil {
			return
		}
		if onRequest != "" {
			if err := json.Unmarshal([]byte(onRequest), &want); err != nil {
				t.Fatalf("%q was sent: %v", onRequest, err)
			}
		}
		sent := base.last(t).Header["X-Portkey-Metadata"]
		if len(sent) != 1 || !isPrintableASCII(sent[0]) {
			t.Fatalf("got %q, want one line of printable ASCII", sent)
		}
		var got portkey.Metadata
		if err := json.Unmarshal([]byte(sent[0]), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

// FuzzConfigRoundTrip checks that a config that can be decoded is encoded with the same value.
func FuzzConfigRoundTrip(f *testing.F) {
	f.Add(wholeJSON)
	f.Add(`{"weight":0,"targets":[{},null],"strategy":{"mode":"single"},"Provider":"x"}`)
	f.Add(`{"strategy":{"mode":"conditional","conditions":[],"default":"a"},"targets":[{"name":{},"virtual_key":"x"}]}`)
	f.Add(`{"retry":{"attempts":1e0},"override_params":{"a":1e400,"b":-0}}`)
	f.Add(`{"override_params":{"a":1e700,"a":0}}`)
	f.Add(`{"request_timeout":1.5,"cb_config":{"cooldown_interval":3e4},"targets":[{"request_timeout":1e999}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c portkey.ConfigObject
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%q is decoded, but not encoded: %v", text, err)
		}
		var again portkey.ConfigObject
		if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%s is encoded as %s, which decodes to another value (%v)", text, b, err)
		}
		var before, after any
		bothDecode := json.Unmarshal([]byte(text), &before) == nil && json.Unmarshal(b, &after) == nil
		if bothDecode && !reflect.DeepEqual(before, after) {
			t.Errorf("got %s, want %s", b, text)
		}
		c.Validate() // must not panic
	})
}

// Without a limit, this would encode 2^40 targets.
func TestConfigWhoseTargetsMultiplyIsRejected(t *testing.T) {
	t.Parallel()
	targets := []portkey.ConfigObject{{VirtualKey: "vk"}}
	for range 40 {
		targets = []portkey.ConfigObject{{Targets: targets}, {Targets: targets}}
	}
	err := portkey.ConfigObject{Strategy: &portkey.Strategy{Mode: portkey.ModeFallback}, Targets: targets}.Validate()
	if !errors.As(err, new(*portkey.ConfigError)) || !strings.Contains(err.Error(), "more than 10000") {
		t.Errorf("got %v, want a ConfigError about the number of targets", err)
	}
}
