package sqlfront

import (
	"errors"
	"fmt"
	"slices"
)

// A prepared statement is one with places for arguments that come later.
type prepared struct {
	dialect *dialect
	tokens  []token
	// places is how many arguments it takes.
	places int
	// shape is the statement with empty arguments; without a verb it is empty.
	shape statement
}

// errSeveral is that of a text with more than one statement.
var errSeveral = errors.New("cannot insert multiple commands into a prepared statement")

// errArguments is that of arguments whose number is wrong.
var errArguments = errors.New("the number of arguments is wrong")

// prepare reads a statement with places.
func (d *dialect) prepare(text string) (p *prepared, err error) {
	p = &prepared{dialect: d}
	if p.tokens, err = d.scan(text); err != nil {
		return nil, err
	}
	for _, t := range p.tokens {
		p.places = max(p.places, t.place)
	}
	shape, err := p.bind(make([]string, p.places))
	if err != nil {
		return nil, err
	}
	p.shape = shape
	return p, nil
}

// bind is the statement with its arguments.
func (p *prepared) bind(args []string) (statement, error) {
	if len(args) != p.places {
		return statement{}, fmt.Errorf("%w: %d, and not %d", errArguments, len(args), p.places)
	}
	tokens := slices.Clone(p.tokens)
	for i, t := range tokens {
		if t.place > 0 {
			tokens[i] = token{text: args[t.place-1], quoted: true}
		}
	}
	list, err := p.dialect.read(tokens)
	switch {
	case err != nil:
		return statement{}, err
	case len(list) > 1:
		return statement{}, errSeveral
	case len(list) == 0:
		return statement{}, nil
	}
	return list[0], nil
}

// mostPrepared bounds how many statements one connection keeps.
const mostPrepared = 10_000
