package plugin

import "context"

// completeFaults completes the names of the faults that act in a system.
func (o *faultOptions) completeFaults() wordsFunc {
	return o.target.complete(func(ctx context.Context, streams Streams) ([]string, error) {
		looking := *o
		looking.streams = streams
		client, err := looking.find(ctx)
		if err != nil {
			return nil, err
		}
		active, err := client.Active(ctx)
		var names []string
		for _, in := range active {
			names = append(names, in.ID)
		}
		return names, err
	})
}
