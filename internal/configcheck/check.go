// Package configcheck reports what the Portkey gateway would refuse about a
// gateway config, given as decoded JSON. TestValidateJudgesAsTheGatewayDoes
// in interop/ compares it with the real gateway.
package configcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/portkey-go/portkey/internal/javascript"
	"github.com/portkey-go/portkey/internal/providers"
)

// A Fault is one value that the gateway would refuse.
type Fault struct {
	Path   string // such as "targets[1].strategy.mode"; "" for the config as a whole
	Reason string
}

func (f Fault) String() string {
	if f.Path == "" {
		return "the config " + f.Reason
	}
	return f.Path + " " + f.Reason
}

// Check returns what the gateway would refuse about config, as encoding/json decodes it
// into an any. Keys, providers and values that only the hosted gateway knows are
// accepted.
func Check(config map[string]any) []Fault { return new(checker).check(config) }

// CheckAll also returns the conditions that the gateway accepts, but does not evaluate as
// they are written.
func CheckAll(config map[string]any) []Fault {
	return (&checker{all: true}).check(config)
}

func (c *checker) check(config map[string]any) []Fault {
	checkTarget(c, config)
	if _, ok := config["options"]; ok {
		c.addFault("options", "belongs to a config format that the gateway no longer reads: use strategy and targets")
	}
	return c.faults
}

// NamesProvider reports whether config determines the provider and the credential,
// by a provider, targets, a virtual key, a saved prompt or an "@slug" model. The
// gateway then uses no credential of the request.
func NamesProvider(config map[string]any) bool {
	return namesCredential(config) || truthy(config["provider"]) || config["targets"] != nil
}

// Providers returns the providers that a config names, in targets as well, and whether it
// has a custom host. It returns none if config is not a JSON object.
func Providers(config string) (names []string, hasCustomHost bool) {
	var object map[string]any
	if json.Unmarshal([]byte(config), &object) != nil {
		return nil, false
	}
	targets := []any{object}
	for len(targets) > 0 {
		target, _ := targets[0].(map[string]any)
		if name, ok := target["provider"].(string); ok {
			names = append(names, name)
		}
		hasCustomHost = hasCustomHost || target["custom_host"] != nil || target["customHost"] != nil
		nested, _ := target["targets"].([]any)
		targets = append(targets[1:], nested...)
	}
	return names, hasCustomHost
}

// CheckCustomHost returns an error unless the gateway accepts host as the base
// URL of a provider. The error does not contain the host.
func CheckCustomHost(host string) error {
	if len(host) > 2048 {
		return errors.New("is longer than 2048 characters")
	}
	_, err := providers.ParseBaseURL(host)
	return err
}

// A checker collects the faults of a config.
type checker struct {
	path   []step
	faults []Fault

	all bool // also report what the gateway accepts; see CheckAll
}

// A step is a key of an object, or an index of a list.
type step struct {
	key   string
	index int // if key is ""
}

// A check reports the faults of one value to the checker.
type check func(c *checker, v any)

// checkAt checks a value that is one step further down the path.
func (c *checker) checkAt(s step, check check, v any) {
	c.path = append(c.path, s)
	check(c, v)
	c.path = c.path[:len(c.path)-1]
}

// addFault adds a fault of the value at the checker's path or, if key is not "", of
// the value that it has for key.
func (c *checker) addFault(key, reason string) {
	var path strings.Builder
	for _, s := range c.path {
		if s.key == "" {
			path.WriteString("[" + strconv.Itoa(s.index) + "]")
			continue
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		path.WriteString(s.key)
	}
	if path.Len() > 0 && key != "" {
		path.WriteByte('.')
	}
	path.WriteString(key)
	c.faults = append(c.faults, Fault{path.String(), reason})
}

// require adds a fault of the value at the checker's path unless ok.
func (c *checker) require(ok bool, reason string) {
	if !ok {
		c.addFault("", reason)
	}
}

// configKeys are the keys of a config that the gateway checks. It accepts any other key.
var configKeys map[string]check

func init() { // an initializer would refer to itself: targets are configs
	statusCodes := listOf(checkNumber)
	circuitBreaker := object(map[string]check{
		"failure_threshold":            checkNumber,
		"failure_threshold_percentage": checkNumber,
		"minimum_requests":             checkNumber,
		"cooldown_interval":            checkNumber,
		"failure_status_codes":         statusCodes,
	})
	configKeys = map[string]check{
		"strategy": object(map[string]check{
			"mode":            oneOf("single", "loadbalance", "fallback", "conditional"),
			"on_status_codes": statusCodes,
			"conditions": listOf(object(map[string]check{
				"query": checkQuery,
				"then":  checkString,
			}, "query", "then")),
			"default": checkString,
			"sticky": object(map[string]check{
				"enabled":     checkBool,
				"hash_fields": listOf(checkString),
				"ttl":         checkNumber,
			}),
			"cb_config": circuitBreaker,
		}, "mode"),
		"targets":   listOf(checkTarget),
		"cb_config": circuitBreaker,

		"name":            checkString,
		"provider":        checkProvider,
		"api_key":         checkString,
		"virtual_key":     checkString,
		"prompt_id":       checkString,
		"custom_host":     checkCustomHost,
		"forward_headers": listOf(checkForwardedName),
		"weight":          checkNumber,
		"on_status_codes": statusCodes,
		"request_timeout": checkNumber,
		"cache": object(map[string]check{
			"mode":    oneOf("simple", "semantic"),
			"max_age": checkNumber,
		}, "mode"),
		"retry": object(map[string]check{
			"attempts":                checkNumber,
			"on_status_codes":         statusCodes,
			"use_retry_after_header":  checkBool,
			"use_retry_after_headers": checkBool,
		}, "attempts"),
		"strict_open_ai_compliance": checkBool,
		"passthrough":               checkBool,
		"fetch_integrated_models":   checkBool,
		"override_params":           onlyAll(checkObject),
		"default_params":            onlyAll(checkObject),
		"drop_params":               onlyAll(listOf(checkString)),
		"input_guardrails":          listOf(checkGuardrail),
		"output_guardrails":         listOf(checkGuardrail),
		"before_request_hooks":      listOf(checkObject),
		"after_request_hooks":       listOf(checkObject),

		"openai_project":                     checkString,
		"openai_organization":                checkString,
		"resource_name":                      checkString,
		"deployment_id":                      checkString,
		"api_version":                        checkString,
		"azure_resource_name":                checkString,
		"azure_deployment_id":                checkString,
		"azure_api_version":                  checkString,
		"azure_model_name":                   checkString,
		"azure_auth_mode":                    checkString,
		"azure_endpoint_name":                checkString,
		"azure_region":                       checkString,
		"azure_deployment_name":              checkString,
		"azure_deployment_type":              checkString,
		"aws_access_key_id":                  checkString,
		"aws_secret_access_key":              checkString,
		"aws_session_token":                  checkString,
		"aws_region":                         checkString,
		"amzn_sagemaker_inference_component": checkString,
		"vertex_project_id":                  checkString,
		"vertex_region":                      checkString,
		"vertex_service_account_json":        checkObject,
		"deployments": listOf(object(map[string]check{
			"deployment_id": checkString,
			"alias":         checkString,
			"api_version":   checkString,
			"is_default":    checkBool,
		}, "deployment_id", "alias", "api_version")),
	}
}

// checkTarget checks a config, or one of its targets: they have the same form.
func checkTarget(c *checker, v any) {
	object(configKeys)(c, v)
	config, ok := v.(map[string]any)
	if !ok {
		return
	}
	strategy, hasStrategy := config["strategy"].(map[string]any)
	isNested := len(c.path) > 0 // a whole config may leave the provider to x-portkey-provider
	switch {
	case !isComplete(config):
		c.addFault("", "needs provider and api_key, strategy and targets, or one of virtual_key, passthrough, "+
			"cache, retry, request_timeout, default_params, hooks and guardrails")
	case isNested && !hasStrategy && !truthy(config["provider"]) && !truthy(config["passthrough"]) && !namesCredential(config):
		c.addFault("", "names no provider")
	}
	if config["provider"] == "vertex-ai" && !truthy(config["virtual_key"]) && (!truthy(config["vertex_region"]) ||
		!truthy(config["vertex_project_id"]) && !truthy(config["vertex_service_account_json"])) {
		c.addFault("provider", "vertex-ai needs vertex_region, and vertex_project_id or vertex_service_account_json")
	}
	if targets, isList := config["targets"].([]any); hasStrategy && (isList || config["targets"] == nil) {
		// Without a target to choose, the open-source gateway fails the call or never answers it.
		if len(targets) == 0 {
			c.addFault("targets", "must not be empty if there is a strategy")
		} else if strategy["mode"] == "loadbalance" && allHaveWeightZero(targets) {
			c.addFault("targets", "must not all have weight 0")
		}
	}
	if strategy["mode"] == "conditional" {
		checkConditional(c, strategy, config["targets"])
	}
}

// isComplete reports whether the open-source gateway or the hosted one accepts the
// combination of keys in a config or target.
func isComplete(config map[string]any) bool {
	has := func(keys ...string) bool {
		for _, key := range keys {
			if _, ok := config[key]; !ok {
				return false
			}
		}
		return true
	}
	provider, _ := config["provider"].(string)
	return has("provider", "api_key") || has("strategy", "targets") ||
		truthy(config["cache"]) || truthy(config["retry"]) || truthy(config["request_timeout"]) ||
		has("before_request_hooks") || has("after_request_hooks") || has("input_guardrails") || has("output_guardrails") ||
		provider == "ollama" || provider == "triton" || // they need no key
		truthy(config["aws_access_key_id"]) && truthy(config["aws_secret_access_key"]) ||
		provider == "vertex-ai" && truthy(config["vertex_region"]) ||
		provider == "azure-openai" && truthy(config["azure_auth_mode"]) ||
		// Only the hosted gateway accepts these.
		namesCredential(config) || strings.HasPrefix(provider, "@") || has("forward_headers") ||
		has("passthrough") || has("default_params") || has("drop_params") || has("fetch_integrated_models") ||
		has("provider", "custom_host") || has("provider", "azure_endpoint_name") || has("provider", "azure_deployment_name")
}

// namesCredential reports whether config names a credential that is saved at Portkey.
func namesCredential(config map[string]any) bool {
	override, _ := config["override_params"].(map[string]any)
	model, _ := override["model"].(string)
	return truthy(config["virtual_key"]) || truthy(config["prompt_id"]) || strings.HasPrefix(model, "@")
}

// checkConditional checks the names of targets in a conditional strategy. The gateway
// reports a wrong one only when its condition is true.
func checkConditional(c *checker, strategy map[string]any, targets any) {
	names := map[string]bool{}
	all, _ := targets.([]any)
	for _, t := range all {
		target, _ := t.(map[string]any)
		if name, ok := target["name"].(string); ok {
			names[name] = true
		}
	}
	conditions, ok := strategy["conditions"].([]any)
	if !ok {
		c.addFault("strategy.conditions", "is missing")
	}
	for i, v := range conditions {
		if condition, ok := v.(map[string]any); ok {
			if then, ok := condition["then"].(string); ok && !names[then] {
				c.addFault(fmt.Sprintf("strategy.conditions[%d].then", i), "is not the name of a target")
			}
		}
	}
	if name, ok := strategy["default"].(string); !ok || !names[name] {
		c.addFault("strategy.default", "is not the name of a target")
	}
}

// truthy reports whether JavaScript, and so the gateway, treats v as true.
func truthy(v any) bool {
	switch v {
	case nil, false, "", 0.0:
		return false
	}
	return true
}

func allHaveWeightZero(targets []any) bool {
	for _, t := range targets {
		target, _ := t.(map[string]any)
		if weight, ok := target["weight"].(float64); !ok || weight > 0 {
			return false // the default is 1
		}
	}
	return len(targets) > 0
}

func checkString(c *checker, v any) {
	_, ok := v.(string)
	c.require(ok, "must be a string")
}

func checkNumber(c *checker, v any) {
	_, ok := v.(float64)
	c.require(ok, "must be a number")
}

func checkBool(c *checker, v any) {
	_, ok := v.(bool)
	c.require(ok, "must be true or false")
}

func checkObject(c *checker, v any) {
	_, ok := v.(map[string]any)
	c.require(ok, "must be an object")
}

// checkGuardrail accepts the ID of a guardrail or an object. The hosted gateway allows
// both in one list, the open-source one does not.
func checkGuardrail(c *checker, v any) {
	_, isID := v.(string)
	_, isObject := v.(map[string]any)
	c.require(isID || isObject, "must be an ID or an object")
}

// checkProvider checks only the form of a name: the hosted gateway knows more
// providers than the open-source one.
func checkProvider(c *checker, v any) {
	const nameChars = "0123456789abcdefghijklmnopqrstuvwxyz-"
	name, ok := v.(string)
	ok = ok && (strings.HasPrefix(name, "@") || name != "" && strings.Trim(name, nameChars) == "")
	c.require(ok, "must be a provider's name in lower case, or @slug")
}

func checkCustomHost(c *checker, v any) {
	host, ok := v.(string)
	if !ok {
		checkString(c, v)
		return
	}
	if host == "" {
		return // the gateway ignores it
	}
	if err := CheckCustomHost(host); err != nil {
		c.addFault("", err.Error())
	}
}

var queryOperators = []string{"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex"}

// onlyAll returns a check that only CheckAll makes: the open-source gateway accepts any
// value.
func onlyAll(f check) check {
	return func(c *checker, v any) {
		if c.all {
			f(c, v)
		}
	}
}

// checkForwardedName reports a header that must not leave the gateway.
func checkForwardedName(c *checker, v any) {
	name, isString := v.(string)
	c.require(isString, "must be a string")
	if c.all && strings.HasPrefix(strings.ToLower(name), "x-portkey-") {
		c.addFault("", "must not name an x-portkey-* header: those are for the gateway only")
	}
}

// checkQuery checks a condition's query, or a part of it.
func checkQuery(c *checker, v any) {
	query, ok := v.(map[string]any)
	if !ok {
		checkObject(c, v)
		return
	}
	combines := false
	for _, key := range slices.Sorted(maps.Keys(query)) {
		value := query[key]
		list, isList := value.([]any)
		operators, _ := value.(map[string]any)
		switch isLogical := key == "$and" || key == "$or"; {
		case isLogical && isList:
			c.checkAt(step{key: key}, listOf(checkQuery), value)
			combines = true
			continue
		case isLogical && c.all:
			c.addFault(key, "must be a list of queries")
			continue
		case len(list) > 0:
			c.addFault("", "compares with a list: use $in or $nin")
		}
		for _, operator := range slices.Sorted(maps.Keys(operators)) {
			if !slices.Contains(queryOperators, operator) {
				c.addFault("", "has an unknown operator: use one of "+strings.Join(queryOperators, " "))
			}
		}
		if c.all {
			checkQueryKey(c, key, operators)
			checkOperands(c, operators)
		}
	}
	if c.all && combines && len(query) > 1 {
		c.addFault("", "has keys beside $and or $or, which the gateway ignores: move them into the list of an $and")
	}
}

// checkQueryKey reports a key that the gateway does not read as it is written. The gateway
// splits a key at its dots and ignores all but the first two parts: it compares metadata.a
// for metadata.a.b. It has nothing to compare but metadata, params and url.pathname.
func checkQueryKey(c *checker, key string, operators map[string]any) {
	scope, name, _ := strings.Cut(key, ".")
	switch {
	case scope == "url" && name == "pathname":
	case scope != "metadata" && scope != "params", name == "":
		c.addFault("", "has an unknown key: use metadata.KEY, params.KEY or url.pathname")
	case strings.Contains(name, ".") && !isFlag(operators):
		c.addFault("", "has a nested key, of which the gateway reads only the first two parts: use metadata.KEY or params.KEY")
	}
}

// isFlag reports whether operators compare only with true or false. A nested key that is
// compared so is accepted because older pages of Portkey's documentation show one. The
// current pages say that nested keys are not supported.
func isFlag(operators map[string]any) bool {
	_, ok := operators["$eq"].(bool)
	return ok && len(operators) == 1
}

// newerRegExp matches what newer versions of JavaScript accept: groups with flags, and two
// groups of one name.
var newerRegExp = regexp.MustCompile(`\(\?[a-z-]+:|\(\?<[^=!].*\(\?<[^=!]`)

// checkOperands reports operands with which a comparison is false for every request.
func checkOperands(c *checker, operators map[string]any) {
	for _, operator := range []string{"$in", "$nin"} {
		operand, ok := operators[operator]
		if _, isList := operand.([]any); ok && !isList {
			c.addFault("", "needs a list for "+operator)
		}
	}
	if expression, ok := operators["$regex"].(string); ok {
		if !javascript.IsRegExp(expression) && !newerRegExp.MatchString(expression) {
			c.addFault("", "has a $regex that is not valid in JavaScript")
		}
	}
}

func oneOf(values ...string) check {
	return func(c *checker, v any) {
		s, ok := v.(string)
		c.require(ok && slices.Contains(values, s), "must be one of "+strings.Join(values, ", "))
	}
}

// listOf checks each element of a list.
func listOf(element check) check {
	return func(c *checker, v any) {
		all, ok := v.([]any)
		c.require(ok, "must be a list")
		for i, e := range all {
			c.checkAt(step{index: i}, element, e)
		}
	}
}

// object checks the values of an object by their keys. The required keys must be present.
func object(keys map[string]check, required ...string) check {
	return func(c *checker, v any) {
		object, ok := v.(map[string]any)
		if !ok {
			checkObject(c, v)
			return
		}
		for _, key := range required {
			if _, ok := object[key]; !ok {
				c.addFault(key, "is missing")
			}
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if check := keys[key]; check != nil {
				c.checkAt(step{key: key}, check, object[key])
			}
		}
	}
}
