package portkey

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A check returns what is wrong with a JSON value, with its path in front.
type check func(path string, v any) []string

// configKeys are the keys of a config that the gateway checks, and how. Keys that
// are not here it lets through.
var configKeys map[string]check

func init() {
	status := list(isNumber)
	configKeys = map[string]check{
		"strategy": object(map[string]check{
			"mode":            oneOf("single", "loadbalance", "fallback", "conditional"),
			"on_status_codes": status,
			"conditions": list(object(map[string]check{
				"query": isQuery,
				"then":  isString,
			}, "query", "then")),
			"default": isString,
		}, "mode"),
		"targets": list(isTarget), // refers to configKeys: hence init

		"name":            isString,
		"provider":        isProvider,
		"api_key":         isString,
		"virtual_key":     isString,
		"prompt_id":       isString,
		"custom_host":     isCustomHost,
		"forward_headers": list(isString),
		"weight":          isNumber,
		"on_status_codes": status,
		"request_timeout": isNumber,
		"cache": object(map[string]check{
			"mode":    oneOf("simple", "semantic"),
			"max_age": isNumber,
		}, "mode"),
		"retry": object(map[string]check{
			"attempts":               isNumber,
			"on_status_codes":        status,
			"use_retry_after_header": isBool,
		}, "attempts"),
		"strict_open_ai_compliance": isBool,
		"input_guardrails":          isGuardrails,
		"output_guardrails":         isGuardrails,
		"before_request_hooks":      list(isObject),
		"after_request_hooks":       list(isObject),

		"openai_project":              isString,
		"openai_organization":         isString,
		"azure_model_name":            isString,
		"azure_auth_mode":             isString,
		"aws_access_key_id":           isString,
		"aws_secret_access_key":       isString,
		"aws_session_token":           isString,
		"aws_region":                  isString,
		"vertex_project_id":           isString,
		"vertex_region":               isString,
		"vertex_service_account_json": isStringMap,
	}
}

// configFaults says what the gateway would refuse about a config.
func configFaults(config map[string]any) []string {
	faults := isTarget("", config)
	if _, old := config["options"]; old {
		faults = append(faults, "options is of a form of configs that the gateway does not read any more")
	}
	if more := len(faults) - 20; more > 0 {
		faults = append(faults[:20], fmt.Sprintf("and %d more", more))
	}
	return faults
}

func isTarget(path string, v any) []string {
	faults := object(configKeys)(path, v)
	config, ok := v.(map[string]any)
	if !ok {
		return faults
	}
	strategy, hasStrategy := config["strategy"].(map[string]any)
	switch {
	case !saysEnough(config):
		faults = append(faults, at(path, "", "needs provider and api_key, strategy and targets, or one of virtual_key, cache, retry, request_timeout, hooks and guardrails"))
	case path != "" && !hasStrategy && !truthy(config["provider"]) && !isHeld(config):
		faults = append(faults, at(path, "", "names no provider")) // which a whole config may leave to the header
	}
	if config["provider"] == "vertex-ai" && !truthy(config["virtual_key"]) && (!truthy(config["vertex_region"]) ||
		!truthy(config["vertex_project_id"]) && !truthy(config["vertex_service_account_json"])) {
		faults = append(faults, at(path, "provider", "vertex-ai needs vertex_region, and vertex_project_id or vertex_service_account_json"))
	}
	if targets, isList := config["targets"].([]any); hasStrategy && (isList || config["targets"] == nil) {
		// The open-source gateway finds no target then, and fails or never answers the call.
		if len(targets) == 0 {
			faults = append(faults, at(path, "targets", "is empty, beside a strategy"))
		} else if strategy["mode"] == "loadbalance" && weighNothing(targets) {
			faults = append(faults, at(path, "targets", "have no weight together"))
		}
	}
	if strategy["mode"] == "conditional" {
		faults = append(faults, conditionalFaults(path, strategy, config["targets"])...)
	}
	return faults
}

// saysEnough reports whether a config or target is of use by itself: to the
// open-source gateway, or by what only the hosted one knows.
func saysEnough(c map[string]any) bool {
	has := func(keys ...string) bool {
		for _, key := range keys {
			if _, ok := c[key]; !ok {
				return false
			}
		}
		return true
	}
	provider, _ := c["provider"].(string)
	return has("provider", "api_key") || has("strategy", "targets") ||
		truthy(c["cache"]) || truthy(c["retry"]) || truthy(c["request_timeout"]) ||
		has("before_request_hooks") || has("after_request_hooks") || has("input_guardrails") || has("output_guardrails") ||
		provider == "ollama" || provider == "triton" || // they need no key
		truthy(c["aws_access_key_id"]) && truthy(c["aws_secret_access_key"]) ||
		provider == "vertex-ai" && truthy(c["vertex_region"]) ||
		provider == "azure-openai" && truthy(c["azure_auth_mode"]) ||
		// What only the hosted gateway takes.
		isHeld(c) || strings.HasPrefix(provider, "@") || has("forward_headers") ||
		has("provider", "custom_host") || has("provider", "azure_endpoint_name") || has("provider", "azure_deployment_name")
}

// isHeld reports whether a config names a credential that Portkey holds.
func isHeld(c map[string]any) bool {
	override, _ := c["override_params"].(map[string]any)
	model, _ := override["model"].(string)
	return truthy(c["virtual_key"]) || truthy(c["prompt_id"]) || strings.HasPrefix(model, "@")
}

// conditionalFaults says why a conditional strategy would fail at the first call:
// the gateway finds that out only then.
func conditionalFaults(path string, strategy map[string]any, targets any) (faults []string) {
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
		faults = append(faults, at(path, "strategy.conditions", "is missing"))
	}
	for i, c := range conditions {
		if condition, ok := c.(map[string]any); ok {
			if then, ok := condition["then"].(string); ok && !names[then] {
				faults = append(faults, at(path, fmt.Sprintf("strategy.conditions[%d].then", i), "names no target"))
			}
		}
	}
	if name, ok := strategy["default"].(string); !ok || !names[name] {
		faults = append(faults, at(path, "strategy.default", "names no target"))
	}
	return faults
}

// at joins a path, a key behind it and what is wrong there.
func at(path, key, fault string) string {
	if path != "" && key != "" {
		path += "."
	}
	if path += key; path == "" {
		return "the config " + fault
	}
	return path + " " + fault
}

// truthy is what JavaScript takes for true, of JSON.
func truthy(v any) bool {
	switch v {
	case nil, false, "", 0.0:
		return false
	}
	return true
}

func weighNothing(targets []any) bool {
	for _, t := range targets {
		target, _ := t.(map[string]any)
		if weight, ok := target["weight"].(float64); !ok || weight > 0 {
			return false // without one it is 1
		}
	}
	return len(targets) > 0
}

func isString(path string, v any) []string {
	_, ok := v.(string)
	return unless(ok, path, "is not a string")
}

func isNumber(path string, v any) []string {
	_, ok := v.(float64)
	return unless(ok, path, "is not a number")
}

func isBool(path string, v any) []string {
	_, ok := v.(bool)
	return unless(ok, path, "is not true or false")
}

func isObject(path string, v any) []string {
	_, ok := v.(map[string]any)
	return unless(ok, path, "is not an object")
}

func isStringMap(path string, v any) []string {
	object, ok := v.(map[string]any)
	for _, value := range object {
		_, isString := value.(string)
		ok = ok && isString
	}
	return unless(ok, path, "is not an object of strings")
}

// isGuardrails takes IDs or objects, but not both in one list.
func isGuardrails(path string, v any) []string {
	ok := list(isString)(path, v) == nil || list(isObject)(path, v) == nil
	return unless(ok, path, "is neither a list of IDs nor a list of objects")
}

// isProvider lets through names it does not know, since the hosted gateway knows
// more than the open-source one; but all are of this form.
func isProvider(path string, v any) []string {
	name, ok := v.(string)
	ok = ok && (strings.HasPrefix(name, "@") || name != "" && strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyz-") == "")
	return unless(ok, path, "is not a provider's name in lower case, or @slug")
}

func isCustomHost(path string, v any) []string {
	host, ok := v.(string)
	if !ok {
		return isString(path, v)
	}
	if host == "" {
		return nil // as if it were not there
	}
	fault := customHostFault(host)
	return unless(fault == "", path, fault)
}

// isQuery checks the operators of a condition's query.
func isQuery(path string, v any) (faults []string) {
	query, ok := v.(map[string]any)
	if !ok {
		return isObject(path, v)
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if key == "$and" || key == "$or" {
			if parts, ok := query[key].([]any); ok {
				for i, part := range parts {
					faults = append(faults, isQuery(fmt.Sprintf("%s.%s[%d]", path, key, i), part)...)
				}
				continue
			}
		}
		operators, _ := query[key].(map[string]any)
		if list, _ := query[key].([]any); len(list) > 0 {
			faults = append(faults, path+" compares with a list without $in or $nin")
		}
		for _, op := range slices.Sorted(maps.Keys(operators)) {
			if !slices.Contains(queryOperators, op) {
				faults = append(faults, path+" has an operator that is not one of "+strings.Join(queryOperators, " "))
			}
		}
	}
	return faults
}

var queryOperators = []string{"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex"}

func oneOf(values ...string) check {
	return func(path string, v any) []string {
		s, ok := v.(string)
		return unless(ok && slices.Contains(values, s), path, "is not one of "+strings.Join(values, ", "))
	}
}

// list checks each element.
func list(element check) check {
	return func(path string, v any) (faults []string) {
		all, ok := v.([]any)
		if !ok {
			return unless(false, path, "is not a list")
		}
		for i, e := range all {
			faults = append(faults, element(fmt.Sprintf("%s[%d]", path, i), e)...)
		}
		return faults
	}
}

// object checks the keys of an object by the table; required ones have to be there.
func object(keys map[string]check, required ...string) check {
	return func(path string, v any) (faults []string) {
		object, ok := v.(map[string]any)
		if !ok {
			return isObject(path, v)
		}
		for _, key := range required {
			if _, ok := object[key]; !ok {
				faults = append(faults, at(path, key, "is missing"))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if c := keys[key]; c != nil {
				faults = append(faults, c(strings.TrimPrefix(path+"."+key, "."), object[key])...)
			}
		}
		return faults
	}
}

func unless(ok bool, path, fault string) []string {
	if ok {
		return nil
	}
	return []string{at(path, "", fault)}
}
