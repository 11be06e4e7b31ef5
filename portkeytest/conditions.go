package portkeytest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/portkey-go/portkey/internal/javascript"
)

// A condition selects the target named Then if the query matches.
type condition struct {
	Query json.RawMessage // undecoded, because the order of its members counts
	Then  string
}

// conditionalTarget returns the index of the target that a conditional strategy selects. An error is the gateway's
// response.
//
// TestPortkeytestRoutesAsTheGatewayDoes in interop/ compares it with the gateway's router.
func (x *exchange) conditionalTarget(config target) (int, error) {
	match, err := x.firstMatch(config.Strategy.Conditions)
	var unsupported *javascript.UnsupportedError
	if errors.As(err, &unsupported) {
		message := "portkeytest: " + err.Error()
		x.gateway.errorf("%s", message)
		return 0, rejection(http.StatusNotImplemented, message)
	}
	if err != nil {
		return 0, err
	}
	name := config.Strategy.Default
	if match != nil {
		name = match.Then
	} else if name == "" {
		return 0, badRequest("Query router did not resolve to any valid target")
	}
	i := slices.IndexFunc(config.Targets, func(t target) bool { return t.Name == name })
	if i < 0 {
		return 0, badRequest("Invalid target name found in the query router: " + name)
	}
	return i, nil
}

// firstMatch returns the first condition whose query matches, or nil.
func (x *exchange) firstMatch(conditions []condition) (*condition, error) {
	fields := x.queryFields()
	for i := range conditions {
		query, _ := javascript.ParseJSON(conditions[i].Query)
		matches, err := matchesQuery(query, fields)
		if err != nil {
			return nil, err
		}
		if matches {
			return &conditions[i], nil
		}
	}
	return nil, nil
}

// queryFields returns the values that a query can compare: metadata.NAME, params.NAME and url.pathname. The parameters
// are those that the client sent: override_params have no effect on them.
func (x *exchange) queryFields() javascript.Object {
	metadata, ok := javascript.ParseJSON([]byte(decodeLatin1(headerValue(x.req.Header, "X-Portkey-Metadata"))))
	if !ok {
		metadata = javascript.Object{}
	}
	params := javascript.Undefined
	if x.hasJSONBody {
		params, _ = javascript.ParseJSON(x.body)
	}
	return javascript.Object{
		{Key: "metadata", Value: metadata},
		{Key: "params", Value: params},
		{Key: "url", Value: javascript.Object{{Key: "pathname", Value: x.req.URL.Path}}},
	}
}

// matchesQuery reports whether fields satisfy a query. It evaluates the members in order. A list of queries, at $or or
// $and, decides at once: later members are ignored. An error is the gateway's response, or a
// *javascript.UnsupportedError.
func matchesQuery(query any, fields javascript.Object) (bool, error) {
	members, ok := javascript.Entries(query)
	if !ok {
		return false, badRequest("Cannot convert undefined or null to object")
	}
	for _, member := range members {
		subqueries, isList := member.Value.([]any)
		if isList && (member.Key == "$or" || member.Key == "$and") {
			return matchesQueries(subqueries, member.Key == "$or", fields)
		}
		// The gateway ignores what follows a second dot. Without a dot, it looks for a value named undefined.
		path := append(strings.Split(member.Key, "."), "undefined")
		got := javascript.Property(javascript.Property(fields, path[0]), path[1])
		if matches, err := matchesOperand(got, member.Value); err != nil || !matches {
			return false, err
		}
	}
	return true, nil
}

// matchesQueries reports whether all of the queries match or, if isOr is true, any. It stops at the first that decides.
func matchesQueries(queries []any, isOr bool, fields javascript.Object) (bool, error) {
	for _, query := range queries {
		if matches, err := matchesQuery(query, fields); err != nil || matches == isOr {
			return matches, err
		}
	}
	return !isOr, nil
}

// matchesOperand compares a value with a scalar, or by the operators in an object. It evaluates them in order. $regex
// decides at once: later operators are ignored.
func matchesOperand(got, operand any) (bool, error) {
	if !javascript.IsObject(operand) {
		return javascript.StrictlyEqual(got, operand), nil
	}
	operators, _ := javascript.Entries(operand)
	for _, operator := range operators {
		if operator.Key == "$regex" {
			return javascript.MatchRegExp(javascript.ToString(operator.Value), javascript.ToString(got))
		}
		compare := queryOperators[operator.Key]
		if compare == nil {
			return false, badRequest("Unsupported operator used in the query router: " + operator.Key)
		}
		if !compare(got, operator.Value) {
			return false, nil
		}
	}
	return true, nil
}

var queryOperators = map[string]func(got, want any) bool{
	"$eq":  javascript.StrictlyEqual,
	"$ne":  func(got, want any) bool { return !javascript.StrictlyEqual(got, want) },
	"$gt":  func(got, want any) bool { return javascript.ParseFloat(got) > javascript.ParseFloat(want) },
	"$gte": func(got, want any) bool { return javascript.ParseFloat(got) >= javascript.ParseFloat(want) },
	"$lt":  func(got, want any) bool { return javascript.ParseFloat(got) < javascript.ParseFloat(want) },
	"$lte": func(got, want any) bool { return javascript.ParseFloat(got) <= javascript.ParseFloat(want) },
	"$in":  isOneOf,
	"$nin": func(got, want any) bool { _, isList := want.([]any); return isList && !isOneOf(got, want) },
}

// isOneOf reports whether want is a list that contains got.
func isOneOf(got, want any) bool {
	list, _ := want.([]any)
	return slices.ContainsFunc(list, func(v any) bool { return javascript.StrictlyEqual(got, v) })
}
