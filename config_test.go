package portkey_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

// weight is a pointer to v: a weight of 0 takes a target out.
func weight(v float64) *float64 { return &v }

// A config with everything in it, and the JSON that it is.
var (
	wholeConfig = portkey.ConfigObject{
		Strategy: &portkey.Strategy{
			Mode: "conditional", Default: "rest",
			Conditions: []portkey.Condition{
				{Query: portkey.Query{"metadata.plan": portkey.Query{"$eq": "gôld"}}, Then: "best"},
				{Query: portkey.Query{"$or": []portkey.Query{
					{"params.temperature": portkey.Query{"$gt": 0.5, "$lte": 1}},
					{"params.model": portkey.Query{"$in": []string{"a", "b"}, "$nin": []string{"c"}, "$ne": "d", "$regex": "^a"}},
					{"$and": []any{map[string]any{"metadata.n": map[string]any{"$gte": 1, "$lt": 2}}}},
				}}, Then: "rest"},
			},
			CircuitBreaker: &portkey.CircuitBreaker{FailureThreshold: 5, FailureThresholdPercentage: 20, MinimumRequests: 10, CooldownInterval: 60000, FailureStatusCodes: []int{429, 500}},
		},
		Targets: []portkey.ConfigObject{
			{Name: "rest", Strategy: &portkey.Strategy{Mode: "loadbalance"}, Targets: []portkey.ConfigObject{
				{Provider: "openai", APIKey: "k1", Weight: weight(0)},
				{Provider: "@team", Weight: weight(0.75), OverrideParams: map[string]any{"model": "m", "user": "Zoë", "seed": 7}},
				{VirtualKey: "vk", DefaultParams: map[string]any{"top_p": 0.9}, DropParams: []string{"logprobs"}},
			}},
			{
				Name: "best", Provider: "openai", APIKey: "k2", CustomHost: "https://llm.example.com/v1", ForwardHeaders: []string{"X-A"},
				Retry: &portkey.Retry{Attempts: 3, OnStatusCodes: []int{}, UseRetryAfterHeaders: portkey.Bool(false)},
				Cache: &portkey.Cache{Mode: "simple", MaxAge: 60}, RequestTimeout: 1500, StrictOpenAICompliance: portkey.Bool(false),
				InputGuardrails: []any{"g1"}, OutputGuardrails: []any{map[string]any{"default.contains": map[string]any{"operator": "none"}, "deny": true}},
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
			"cb_config": {"failure_threshold": 5, "failure_threshold_percentage": 20, "minimum_requests": 10, "cooldown_interval": 60000, "failure_status_codes": [429, 500]}
		},
		"targets": [
			{"name": "rest", "strategy": {"mode": "loadbalance"}, "targets": [
				{"provider": "openai", "api_key": "k1", "weight": 0},
				{"provider": "@team", "weight": 0.75, "override_params": {"model": "m", "user": "Zoë", "seed": 7}},
				{"virtual_key": "vk", "default_params": {"top_p": 0.9}, "drop_params": ["logprobs"]}
			]},
			{
				"name": "best", "provider": "openai", "api_key": "k2", "custom_host": "https://llm.example.com/v1", "forward_headers": ["X-A"],
				"retry": {"attempts": 3, "on_status_codes": [], "use_retry_after_headers": false},
				"cache": {"mode": "simple", "max_age": 60}, "request_timeout": 1500, "strict_open_ai_compliance": false,
				"input_guardrails": ["g1"], "output_guardrails": [{"default.contains": {"operator": "none"}, "deny": true}],
				"before_request_hooks": [{"id": "h1"}], "after_request_hooks": [],
				"new_key": [null, 1], "request_priority": 0
			}
		]
	}`
)

// sameJSON reports whether two JSON texts say the same, to the last digit.
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

func TestConfigObjectOnTheWire(t *testing.T) {
	t.Parallel()
	if err := wholeConfig.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Config: wholeConfig})
	for name, get := range map[string]func(){
		"in Options": func() {
			do(t, newClient(t, s, portkey.Options{Headers: portkey.Headers{Config: wholeConfig}}), newRequest(t, t.Context(), "GET", openAIChat, ""))
		},
		"in a context": func() { do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, "")) },
	} {
		get()
		got := s.last(t).header["X-Portkey-Config"]
		if len(got) != 1 || !sameJSON(t, got[0], wholeJSON) {
			t.Errorf("%s: got %q, want %s", name, got, wholeJSON)
		}
		if strings.ContainsFunc(got[0], func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: got %q, want printable ASCII", name, got)
		}
	}
}

func TestConfigObjectRoundTrips(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		wholeJSON,
		`{}`,
		`{"weight":0,"api_key":"","provider":null,"targets":[],"retry":{"attempts":0},"cache":{},"strategy":{"new":{}},"request_timeout":0,"strict_open_ai_compliance":false}`,
		`{"weight":"heavy","targets":[null,3,{"retry":[]}],"on_status_codes":[429.5],"strategy":{"mode":4,"conditions":[{"query":{"a":12345678901234567890},"then":"x","else":1}]},"vertex_service_account_json":{"a":1}}`,
		`{"Provider":"x","API_KEY":"y","apiKey":"z"}`,
		`{"retry":{"attempts":3,"on_status_codes":[null]},"forward_headers":[null,"a"],"vertex_service_account_json":{"k":null}}`,
		`{"override_params":{"seed":12345678901234567890,"x":1.10},"deep":{"a":[{"b":null}]}}`,
		`{"cb_config":{"failure_threshold":0,"later":true},"retry":{"attempts":2,"use_retry_after_header":false,"later":"x"},"cache":{"mode":"semantic","later":0}}`,
	} {
		var c portkey.ConfigObject
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !sameJSON(t, string(b), text) && text != wholeJSON {
			t.Errorf("got %s, want %s", b, text)
		}
		var again portkey.ConfigObject
		if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: decoded again, it is another value", text)
		}
	}
	var c portkey.ConfigObject
	for _, text := range []string{`null`, `[]`, `"` + secret + `"`, `3`} {
		if err := json.Unmarshal([]byte(text), &c); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want an error without the value", text, err)
		}
	}
}

func TestUnknownKeysOfAConfigLandInExtra(t *testing.T) {
	t.Parallel()
	var c portkey.ConfigObject
	if err := json.Unmarshal([]byte(`{"provider":"openai","new":{"a":1},"targets":[{"name":"t","other":true}]}`), &c); err != nil {
		t.Fatal(err)
	}
	want := portkey.ConfigObject{
		Provider: "openai", Extra: map[string]any{"new": map[string]any{"a": json.Number("1")}},
		Targets: []portkey.ConfigObject{{Name: "t", Extra: map[string]any{"other": true}}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %#v, want %#v", c.Extra, want.Extra)
	}
}

func TestValidateNamesAllFaultsWithTheirPaths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		config string
		want   []string // how each fault begins; none: the config is good
	}{
		{`{"provider":"openai","api_key":"k"}`, nil},
		{`{"retry":{"attempts":0}}`, nil},
		{`{"virtual_key":"vk"}`, nil},
		{`{"provider":"openai","virtual_key":"vk"}`, nil},
		{`{"provider":"vertex-ai","virtual_key":"vk"}`, nil},
		{`{"prompt_id":"pp-1"}`, nil},
		{`{"provider":"@slug"}`, nil},
		{`{"provider":"newcomer","api_key":"k"}`, nil},
		{`{"override_params":{"model":"@team/m"}}`, nil},
		{`{"provider":"ollama","custom_host":"http://10.0.0.1:11434"}`, nil},
		{`{"provider":"bedrock","aws_access_key_id":"a","aws_secret_access_key":"b"}`, nil},
		{`{"provider":"azure-openai","azure_auth_mode":"managed"}`, nil},
		{`{"provider":"vertex-ai","vertex_region":"r","vertex_service_account_json":{"a":"b"}}`, nil},
		{`{"input_guardrails":[{"default.contains":{}}]}`, nil},

		{`{}`, []string{"the config needs"}},
		{`{"provider":"openai"}`, []string{"the config needs"}},
		{`{"virtual_key":null,"prompt_id":5}`, []string{"prompt_id is not a string", "virtual_key is not a string"}},
		{`{"virtual_key":""}`, []string{"the config needs"}},
		{`{"retry":{"attempts":1,"on_status_codes":[null]},"forward_headers":[null]}`, []string{"forward_headers[0] is not a string", "retry.on_status_codes[0] is not a number"}},
		{`{"strategy":{"mode":"conditional","conditions":[],"default":"a"},"targets":[{"name":{},"virtual_key":"x"}]}`, []string{"targets[0].name is not a string", "strategy.default names no target"}},
		{`{"retry":{"attempts":1},"on_status_codes":[` + strings.Repeat(`"x",`, 29) + `"x"]}`, append(slices.Repeat([]string{"on_status_codes["}, 20), "and 10 more")},
		{`{"cache":{"mode":"simple"},"options":[]}`, []string{"options is"}},
		{`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k"},{"strategy":{"mode":"Fallback"},"targets":[{"weight":1},null]}]}`,
			[]string{"targets[1].strategy.mode is not one of", "targets[1].targets[0] needs", "targets[1].targets[1] is not an object"}},
		{`{"strategy":{},"targets":[],"retry":{},"cache":{"max_age":"1"},"weight":"1"}`,
			[]string{"cache.mode is missing", "cache.max_age is not a number", "retry.attempts is missing", "strategy.mode is missing", "weight is not a number", "targets is empty"}},
		{`{"strategy":{"mode":"fallback"},"cache":{"mode":"simple"}}`, []string{"targets is empty"}},
		{`{"strategy":{"mode":"fallback"},"targets":[{"retry":{"attempts":1}},{"virtual_key":"vk"}]}`, []string{"targets[0] names no provider"}},
		{`{"strategy":{"mode":"loadbalance"},"targets":[{"virtual_key":"vk","weight":0}]}`, []string{"targets have no weight"}},
		{`{"strategy":{"mode":"loadbalance"},"targets":[{"virtual_key":"vk","weight":0},{"virtual_key":"vk"}]}`, nil},
		{`{"provider":"OpenAI","api_key":1}`, []string{"api_key is not a string", "provider is not"}},
		{`{"provider":"vertex-ai","api_key":"k"}`, []string{"provider vertex-ai needs"}},
		{`{"provider":"openai","api_key":"k","custom_host":"ftp://x","forward_headers":"a","request_timeout":true,"on_status_codes":["429"],"strict_open_ai_compliance":"false","aws_region":1,"vertex_service_account_json":{"a":1},"input_guardrails":["a",{}],"after_request_hooks":[1]}`,
			[]string{"after_request_hooks[0] is not an object", "aws_region is not a string", "custom_host has no scheme", "forward_headers is not a list",
				"input_guardrails is neither", "on_status_codes[0] is not a number", "request_timeout is not a number", "strict_open_ai_compliance is not", "vertex_service_account_json is not"}},
		{`{"strategy":{"mode":"conditional","default":"b","conditions":[{"query":{"metadata.a":{"$eg":1}},"then":"c"},{"then":"a"},{"query":{"$and":[{"params.x":{"$like":1}}]},"then":"a"}]},"targets":[{"name":"a","virtual_key":"vk"}]}`,
			[]string{"strategy.conditions[0].query has an operator", "strategy.conditions[1].query is missing", "strategy.conditions[2].query.$and[0] has an operator",
				"strategy.conditions[0].then names no target", "strategy.default names no target"}},
		{`{"strategy":{"mode":"conditional"},"targets":[{"virtual_key":"vk"}]}`, []string{"strategy.conditions is missing", "strategy.default names no target"}},
	}
	for _, tt := range tests {
		var c portkey.ConfigObject
		if err := json.Unmarshal([]byte(tt.config), &c); err != nil {
			t.Fatal(err)
		}
		err := c.Validate()
		if len(tt.want) == 0 {
			if err != nil {
				t.Errorf("%s: got %v, want no error", tt.config, err)
			}
			continue
		}
		checkHeaderError(t, err, "x-portkey-config")
		var headerErr *portkey.HeaderError
		if !errors.As(err, &headerErr) {
			continue
		}
		faults := strings.Split(headerErr.Reason, "; ")
		if !slices.EqualFunc(faults, tt.want, strings.HasPrefix) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.config, faults, tt.want)
		}
		if tt.config == "{}" {
			continue // in Headers that is a field at its zero value
		}
		_, newErr := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{Config: c}})
		checkHeaderError(t, newErr, "x-portkey-config")
		tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
		_, callErr := tr.RoundTrip(newRequest(t, portkey.WithHeaders(t.Context(), portkey.Headers{Config: &c}), "GET", openAIChat, ""))
		checkHeaderError(t, callErr, "x-portkey-config")
	}
}

func TestConfigObjectThatIsNoJSONIsRefused(t *testing.T) {
	t.Parallel()
	loop := map[string]any{}
	loop["loop"] = loop
	endless := make([]portkey.ConfigObject, 2)
	endless[0].Targets, endless[1].Targets = endless, endless
	for _, c := range []portkey.ConfigObject{
		{Provider: "openai", APIKey: secret, Extra: map[string]any{"api_key": secret}},
		{Provider: "openai", APIKey: secret + "\xff"},
		{Provider: "openai", APIKey: "k", OverrideParams: map[string]any{secret + "\xff": 1}},
		{Provider: "openai", APIKey: "k", OverrideParams: map[string]any{"f": func() {}}},
		{Provider: "openai", APIKey: "k", Extra: loop},
		{Targets: endless},
		{Provider: "openai", APIKey: "k", Extra: map[string]any{"n": json.Number(secret)}},
	} {
		checkHeaderError(t, c.Validate(), "x-portkey-config")
		tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
		_, err := tr.RoundTrip(newRequest(t, portkey.WithHeaders(t.Context(), portkey.Headers{Config: c}), "GET", openAIChat, ""))
		checkHeaderError(t, err, "x-portkey-config")
	}
}

func TestConfigObjectIsCopied(t *testing.T) {
	t.Parallel()
	newConfig := func() portkey.ConfigObject {
		return portkey.ConfigObject{
			Strategy: &portkey.Strategy{Mode: "loadbalance"},
			Targets:  []portkey.ConfigObject{{Provider: "openai", APIKey: "k", Weight: weight(1), OverrideParams: map[string]any{"stop": []any{"a"}, "x": "1"}}},
		}
	}
	c := newConfig()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Config: c})
	change := func(c portkey.ConfigObject) {
		c.Strategy.Mode, c.Targets[0].APIKey, *c.Targets[0].Weight = "changed", "changed", 2
		c.Targets[0].OverrideParams["stop"].([]any)[0], c.Targets[0].OverrideParams["x"] = "changed", "2"
	}
	change(c)
	for range 2 {
		got := portkey.HeadersFromContext(ctx).Config.(portkey.ConfigObject)
		if want := newConfig(); !reflect.DeepEqual(got, want) {
			b, _ := json.Marshal(got)
			t.Errorf("got %s, want it as it was given", b)
		}
		change(got)
	}
}

// What a config is made of beyond its own types, encoding/json alone looks into.
func TestConfigObjectMayHoldAnythingThatIsJSON(t *testing.T) {
	t.Parallel()
	type node struct {
		Parent *node `json:"-"`
		Kids   []*node
		bad    string
	}
	root := &node{bad: "\xff"}
	root.Kids = []*node{{Parent: root}}
	c := portkey.ConfigObject{Provider: "openai", APIKey: "k\\ufffd\ufffd", OverrideParams: map[string]any{
		"raw": json.RawMessage(`{"a":[1]}`), "time": time.Unix(0, 0).UTC(), "node": root, "array": [1]map[string]any{{"a": 1}},
	}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, portkey.WithHeaders(t.Context(), portkey.Headers{Config: c}), "GET", openAIChat, ""))
	const want = `{"api_key":"k\\ufffd\ufffd","override_params":{"array":[{"a":1}],"node":{"Kids":[{"Kids":null}]},"raw":{"a":[1]},"time":"1970-01-01T00:00:00Z"},"provider":"openai"}`
	if got := s.last(t).header.Get("X-Portkey-Config"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestConfigObjectWithAProviderHoldsItsKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for _, tt := range []struct {
		c    portkey.ConfigObject
		want string
	}{
		{portkey.ConfigObject{Provider: "groq", APIKey: "k"}, ""},
		{portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 1}}, "Bearer client"},
	} {
		req := newRequest(t, portkey.WithHeaders(t.Context(), portkey.Headers{Config: tt.c}), "GET", openAIChat, "")
		req.Header.Set("Authorization", "Bearer client")
		do(t, newClient(t, s, portkey.Options{}), req)
		if got := s.last(t).header.Get("Authorization"); got != tt.want {
			t.Errorf("got Authorization %q, want %q", got, tt.want)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add("k", "v", "")
	f.Add("_user", "Zoë \U0001f600 \"\\\n\x7f\u2028</script>", `{"k":"outer","z":"1"}`)
	f.Add("\xff", "\xff", "null")
	var sent http.Header
	tr, err := portkey.NewTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	}), portkey.Options{BaseURL: "http://gw.example", NewTraceID: noTrace})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, value, own string) {
		req := newRequest(t, portkey.WithMetadata(t.Context(), portkey.Metadata{key: value}), "GET", "http://gw.example", "")
		if own != "" {
			req.Header.Set("x-portkey-metadata", own)
		}
		if _, err := tr.RoundTrip(req); err != nil {
			return
		}
		line := sent["X-Portkey-Metadata"]
		if len(line) != 1 || strings.ContainsFunc(line[0], func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("got %q, want one line of printable ASCII", line)
		}
		want := portkey.Metadata{key: value}
		if own != "" {
			if err := json.Unmarshal([]byte(own), &want); err != nil {
				t.Fatalf("%q was sent on: %v", own, err)
			}
		}
		var got portkey.Metadata
		if err := json.Unmarshal([]byte(line[0]), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

func FuzzConfigRoundTrip(f *testing.F) {
	f.Add(wholeJSON)
	f.Add(`{"weight":0,"targets":[{},null],"strategy":{"mode":"single"},"Provider":"x"}`)
	f.Add(`{"strategy":{"mode":"conditional","conditions":[],"default":"a"},"targets":[{"name":{},"virtual_key":"x"}]}`)
	f.Add(`{"retry":{"attempts":1e0},"override_params":{"a":1e400,"b":-0}}`)
	f.Add(`{"override_params":{"a":1e700,"a":0}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c portkey.ConfigObject
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%q decodes, but: %v", text, err)
		}
		var again portkey.ConfigObject
		if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%s became %s", text, b)
		}
		var before, after any
		if json.Unmarshal([]byte(text), &before) == nil && json.Unmarshal(b, &after) == nil && !reflect.DeepEqual(before, after) {
			t.Errorf("got %s, want %s", b, text)
		}
		c.Validate() // must not panic
	})
}
