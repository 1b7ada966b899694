//! What a soundbox and the platform agree on: ids, rupiah, topics, messages, codec, signature. No IO.
