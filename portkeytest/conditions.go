package portkeytest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/portkey-go/portkey"
)

// conditionalTarget returns the index of the target that a conditional strategy selects.
func (x *exchange) conditionalTarget(config portkey.ConfigObject) (int, error) {
	var metadata map[string]any
	json.Unmarshal([]byte(decodeLatin1(headerValue(x.req.Header, "X-Portkey-Metadata"))), &metadata)
	fields := queryFields{"metadata": metadata, "params": x.params, "url": {"pathname": x.req.URL.Path}}

	name := config.Strategy.Default
	for _, condition := range config.Strategy.Conditions {
		if matchesQuery(condition.Query, fields) {
			name = condition.Then
			break
		}
	}
	for i := range config.Targets {
		if config.Targets[i].Name == name {
			return i, nil
		}
	}
	return 0, rejection(http.StatusBadRequest, "Invalid target name found in the query router: "+name)
}

// queryFields are the values that a query can compare, by group and name: metadata.plan is fields["metadata"]["plan"].
type queryFields map[string]map[string]any

// matchesQuery reports whether fields satisfy every member of a query.
func matchesQuery(query portkey.Query, fields queryFields) bool {
	for key, operand := range query {
		if subqueries, ok := operand.([]any); ok && (key == "$and" || key == "$or") {
			matches := 0
			for _, s := range subqueries {
				if subquery, _ := s.(map[string]any); matchesQuery(subquery, fields) {
					matches++
				}
			}
			if key == "$and" && matches < len(subqueries) || key == "$or" && matches == 0 {
				return false
			}
			continue
		}
		group, name, _ := strings.Cut(key, ".")
		operators, ok := operand.(map[string]any)
		if !ok {
			operators = map[string]any{"$eq": operand}
		}
		for operator, want := range operators {
			if compare := queryOperators[operator]; compare == nil || !compare(fields[group][name], want) {
				return false
			}
		}
	}
	return true
}

var queryOperators = map[string]func(got, want any) bool{
	"$eq":  strictlyEqual,
	"$ne":  func(got, want any) bool { return !strictlyEqual(got, want) },
	"$gt":  func(got, want any) bool { return toNumber(got) > toNumber(want) },
	"$gte": func(got, want any) bool { return toNumber(got) >= toNumber(want) },
	"$lt":  func(got, want any) bool { return toNumber(got) < toNumber(want) },
	"$lte": func(got, want any) bool { return toNumber(got) <= toNumber(want) },
	"$in":  isOneOf,
	"$nin": func(got, want any) bool { _, ok := want.([]any); return ok && !isOneOf(got, want) },
	"$regex": func(got, want any) bool {
		re, err := regexp.Compile(fmt.Sprint(want))
		return err == nil && re.MatchString(fmt.Sprint(got))
	},
}

// isOneOf reports whether want is a list that contains got.
func isOneOf(got, want any) bool {
	list, _ := want.([]any)
	return slices.ContainsFunc(list, func(v any) bool { return strictlyEqual(got, v) })
}

// strictlyEqual compares scalars like JavaScript's ===: the number 5 and the string "5" differ.
func strictlyEqual(a, b any) bool {
	switch a.(type) {
	case float64, json.Number:
		_, isString := b.(string)
		return !isString && toNumber(a) == toNumber(b)
	case string, bool, nil:
		return a == b
	}
	return false
}

// toNumber converts v to a number, or to NaN, which no comparison matches.
func toNumber(v any) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}
